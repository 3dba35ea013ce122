"""Migrations: one log turned into another, proved before it is made.

A migration is a value of ordered steps; :mod:`~esbench.migrate.running` runs them over the events of a log,
:mod:`~esbench.migrate.dry` tells what comes of that, :mod:`~esbench.migrate.apply` makes it a log.
"""

from __future__ import annotations

from esbench.migrate.dry import DryRun
from esbench.migrate.migration import Migration
from esbench.migrate.states.equivalence import same_state
from esbench.migrate.states.expected import added, changed, removed, within
from esbench.migrate.step import MigrationError
from esbench.migrate.steps.attributes import (
    add_field,
    convert_field,
    drop_field,
    merge_fields,
    move_field,
    rename_field,
    retype_field,
    split_field,
)
from esbench.migrate.steps.closing import close_stream
from esbench.migrate.steps.compacting import compact, truncate
from esbench.migrate.steps.concatenating import concat
from esbench.migrate.steps.corrections import correct, edit_metadata, replace_event
from esbench.migrate.steps.functions import map_events, split
from esbench.migrate.steps.inserted import insert_after, insert_before
from esbench.migrate.steps.merged import merge_events
from esbench.migrate.steps.moved import move_between
from esbench.migrate.steps.ordering import reorder
from esbench.migrate.steps.privacy import forget, mask, pseudonymise, pseudonymise_ids, redact
from esbench.migrate.steps.rekeying import rekey, rename_stream
from esbench.migrate.steps.renumbering import reissue_ids, reissue_positions, renumber, set_stream_type
from esbench.migrate.steps.streams import merge_streams, move_events, split_stream
from esbench.migrate.steps.times import set_time, shift_time
from esbench.migrate.steps.typed import bump_version, drop_duplicates, drop_events, rename_type
from esbench.migrate.steps.upcasting import upcast

__all__ = [
    "DryRun",
    "Migration",
    "MigrationError",
    "add_field",
    "added",
    "bump_version",
    "changed",
    "close_stream",
    "compact",
    "concat",
    "convert_field",
    "correct",
    "drop_duplicates",
    "drop_events",
    "drop_field",
    "edit_metadata",
    "forget",
    "insert_after",
    "insert_before",
    "map_events",
    "mask",
    "merge_events",
    "merge_fields",
    "merge_streams",
    "move_between",
    "move_events",
    "move_field",
    "pseudonymise",
    "pseudonymise_ids",
    "redact",
    "reissue_ids",
    "reissue_positions",
    "rekey",
    "removed",
    "rename_field",
    "rename_stream",
    "rename_type",
    "renumber",
    "reorder",
    "replace_event",
    "retype_field",
    "same_state",
    "set_stream_type",
    "set_time",
    "shift_time",
    "split",
    "split_field",
    "split_stream",
    "truncate",
    "upcast",
    "within",
]
