"""Private migrations: a bench file of their own, and the proof that it holds no value that was replaced."""

from __future__ import annotations
