"""The steps of a migration, a module a kind; what they share stands beside them."""

from __future__ import annotations
