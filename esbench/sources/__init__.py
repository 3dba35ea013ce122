"""Readers: from an input to staged records. They never import each other."""

from __future__ import annotations

__all__: list[str] = []
