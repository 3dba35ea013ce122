"""State equivalence: whether old and new code make the same states of the old and the new log."""

from __future__ import annotations
