"""Aggregates: how the events of a stream become state, and what must hold of it.

An aggregate is defined once and then only used: it freezes at its first fold, so that all results of one
aggregate come from the same handlers. What it does to events stands in :mod:`esbench.fold`.
"""

from __future__ import annotations

from esbench.aggregate.coverage import covered, refuse_other, refuse_read_model
from esbench.aggregate.definition import Aggregate
from esbench.aggregate.rules import Handler, Lifecycle, Predicate, unfit

__all__ = ["Aggregate", "Handler", "Lifecycle", "Predicate", "covered", "refuse_other", "refuse_read_model", "unfit"]
