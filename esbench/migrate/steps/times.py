"""Steps that change when events were recorded or occurred; what stood there before is kept in metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from esbench import payload
from esbench.errors import BadCoordinate
from esbench.event import Event, at
from esbench.migrate.step import MigrationError, Step, name_of, which
from esbench.migrate.steps.calls import Each
from esbench.migrate.steps.functions import CallStep
from esbench.migrate.steps.made import Wrong, said
from esbench.migrate.work import Work, rewritten
from esbench.payload import PayloadError, edits
from esbench.payload.engine import failure, number_of, register
from esbench.payload.slices import called
from esbench.show import cell

__all__ = ["set_time", "shift_time"]

_COLUMNS = ("recorded_at", "occurred_at")
#: SQL for a time in the log as JSON: in UTC, as exactly as it is kept.
_STAMP = "'\"' || strftime({0}::timestamp, '%Y-%m-%dT%H:%M:%S.%f') || 'Z\"'"
_FIRST, _LAST = "'0001-01-01 00:00:00Z'::timestamptz", "'9999-12-31 23:59:59.999999Z'::timestamptz"


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Keeping:
    """Puts the first line of a text, which is JSON, into the JSON behind it, unless something stands there."""

    path: str

    def changed(self, texts: Sequence[str | None]) -> list[str | None]:
        """The new text of each."""
        done: list[str | None] = []
        for text in texts:
            if text is None:
                done.append(None)
                continue
            raw, _, metadata = text.partition("\n")
            try:
                done.append(edits.Add(self.path, raw).apply(metadata))
            except PayloadError as error:
                done.append(failure(error))
        return done


@dataclass(frozen=True, repr=False)
class SetTime(Step):
    """A time of events changed, in SQL: ``value`` is SQL for the new one."""

    column: str
    value: str
    said: str
    keep: _Keeping | None = field(kw_only=True)

    @property
    def sentence(self) -> str:
        kept = "" if self.keep is None else f", keeping it in metadata {cell(self.keep.path)}"
        return f"{self.said} ({self.which}){kept}"

    def over(self, work: Work, number: int) -> Work:
        register(work.events.con)
        hit, bound = self.which.sql(number)
        column = self.column
        # Of the years that Python has, so that both forms agree.
        inside = f"try(case when {self.value} between {_FIRST} and {_LAST} then {self.value} end)"
        new = f"(case when isfinite({column}) or {column} is null then {inside} else {column} end)"
        kept = "metadata::varchar"
        if self.keep is not None:
            text = f"{_STAMP.format(column)} || chr(10) || coalesce(metadata::varchar, '{{}}')"
            kept = f"""case when {new} is not distinct from {column} or {column} is null or not isfinite({column})
                then metadata::varchar else {called(None, text, number_of(self.keep))} end"""
        # A time that is not there may stay so; one that is there must not be lost.
        lost = f"{new} is null and {column} is not null"
        metadata = f"case when {lost} then '!{column} would lie outside all time' else {kept} end"
        return rewritten(work, number, hit, {column: new, "metadata": metadata}, **bound)


def shift_time(
    by: timedelta | Callable[[Event], timedelta],
    *,
    column: str = "recorded_at",
    keep: str | None = "",
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> Step:
    """Shift a time of events: by a duration, or by what a function of the event gives; None leaves it.

    ``column`` is recorded_at or occurred_at. The original is kept in metadata under the path ``keep``, by default
    ``/original_`` and the column, where nothing stands there yet; None keeps nothing.

    >>> shift_time(timedelta(hours=-2), type="OrderPlaced")
    shift recorded_at by -2:00:00 (OrderPlaced), keeping it in metadata /original_recorded_at
    """
    path = _kept("shift_time", column, keep)
    taken = which(type, streams=streams, where=where)
    if isinstance(by, timedelta):
        micros = by // timedelta(microseconds=1)
        if abs(micros) >= 2**63:
            raise MigrationError(f"shift_time(): {by} is longer than all time")
        value = f"{column} + to_microseconds({micros})"
        told = f"-{-by}" if by < timedelta() else str(by)
        return SetTime(taken, column, value, f"shift {column} by {told}", keep=path)
    if not callable(by):
        raise MigrationError(f"shift_time() takes a timedelta or a function of an event, not {by!r:.80}")
    task = Each(_Timed(by, column, None if path is None else path.path))
    kept = "" if path is None else f", keeping it in metadata {cell(path.path)},"
    return CallStep(taken, task, f"shift {column} by {name_of(by)}{kept}", user=by)


def set_time(
    to: datetime | str | Callable[[Event], datetime | None],
    *,
    column: str = "recorded_at",
    keep: str | None = "",
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> Step:
    """Set a time of events: to a time, to their other time (named ``"occurred_at"``), or to what a function gives.

    What is kept of the original, and how, is as in :func:`shift_time`. A time without an offset is UTC.

    >>> set_time("occurred_at", type="OrderImported")
    set recorded_at to occurred_at (OrderImported), keeping it in metadata /original_recorded_at
    """
    path = _kept("set_time", column, keep)
    taken = which(type, streams=streams, where=where)
    if callable(to):
        task = Each(_Timed(to, column, None if path is None else path.path))
        kept = "" if path is None else f", keeping it in metadata {cell(path.path)},"
        return CallStep(taken, task, f"set {column} by {name_of(to)}{kept}", user=to)
    if to in _COLUMNS:
        if to == column:
            raise MigrationError(f"set_time(): {column} to itself changes nothing")
        return SetTime(taken, column, f"coalesce({to}, {column})", f"set {column} to {to}", keep=path)
    try:
        moment = at(as_of=to).as_of
    except BadCoordinate as error:
        raise MigrationError(f"set_time(): {str(error).replace('as_of', repr(to))}") from None
    assert moment is not None
    text = moment.isoformat()
    return SetTime(taken, column, f"'{text}'::timestamptz", f"set {column} to {text}", keep=path)


@dataclass(frozen=True)
class _Timed:
    """What a change of time by a function does, as a function of an event."""

    function: Callable[[Event], Any]
    column: str
    keep: str | None

    def __call__(self, event: Event) -> Event:
        result = self.function(event)
        before: datetime | None = getattr(event, self.column)
        if isinstance(result, timedelta):
            result = None if before is None else before + result
        if result is None:
            return event
        if not isinstance(result, datetime):
            raise Wrong(f"it returned {said(result)}, not a time, a timedelta or None")
        result = result.replace(tzinfo=UTC) if result.tzinfo is None else result.astimezone(UTC)
        if result == before:
            return event
        changes: dict[str, Any] = {self.column: result}
        if self.keep is not None and before is not None:
            raw = f'"{before.strftime("%Y-%m-%dT%H:%M:%S.%f").zfill(26)}Z"'
            changes["metadata_text"] = edits.Add(self.keep, raw).apply(event.metadata_text or "{}")
        return event.changed(**changes)


def _kept(verb: str, column: str, keep: str | None) -> _Keeping | None:
    """Where the original is kept. Raises MigrationError for what is no column of times, or no path."""
    if column not in _COLUMNS:
        raise MigrationError(f"{verb}(): column={column!r} is not recorded_at or occurred_at")
    if keep is None:
        return None
    path = keep or f"/original_{column}"
    try:
        edits.Add(path, "null")
        payload.pointer(path)
    except PayloadError as error:
        raise MigrationError(f"{verb}(): {error}") from None
    return _Keeping(path)
