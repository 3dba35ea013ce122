"""Folding: (Events, an aggregate, a coordinate) to states, and how far each can be trusted."""

from __future__ import annotations

__all__: list[str] = []
