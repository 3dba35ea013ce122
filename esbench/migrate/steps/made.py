"""What takes the place of the rows of a batch: written down row by row, made at the end column by column."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from esbench import payload
from esbench.errors import EsbenchError
from esbench.event import Event
from esbench.migrate.steps.seen import Batch, Seen, row_of, source_of
from esbench.payload.kept import kept_of

__all__ = ["IDS", "Made", "Raw", "Wrong", "new_id", "said"]

#: Ids of new rows are made from the source's, the step and the place, in this name space.
IDS = uuid.UUID("5b0d8f5c-6f0e-5d9c-9a53-0f7d1b6c2e41")

_raw = msgspec.json.Decoder(msgspec.Raw)

#: Fields of an event that a function may set besides its type and payloads.
_SPARSE: Mapping[str, type] = {
    "stream_type": str,
    "event_id": str,
    "schema_version": int,
    "recorded_at": datetime,
    "occurred_at": datetime,
    "source_position": str,
}
#: What an event that was made anew has from the event in whose place it stands, unless it names another.
_INHERITED = frozenset({"stream_type", "recorded_at", "occurred_at"})
#: What says where in its stream and log an event stands, and the steps that change it.
_PLACE: Mapping[str, str] = {
    "version": "renumber() or reorder()",
    "position": "reissue_positions()",
}


class Wrong(Exception):
    """What a function gave cannot be taken; says why."""


class Raw(str):
    """A payload that is given as its text."""

    __slots__ = ()


class Made:
    """The rows that take the place of a batch's, in order; for every source row any number of them."""

    def __init__(self, batch: Batch, number: int) -> None:
        self.batch = batch
        self.number = number
        self.rows: list[int] = []
        self.types: list[Any] = []
        self.texts: list[str | None] = []
        self.failures: dict[int, str] = {}
        #: Source rows of which a merged row is made besides its own.
        self.merged: dict[int, Sequence[int]] = {}
        self._cells: dict[str, dict[int, Any]] = {}
        self._fresh: list[int] = []
        self._good: set[str] = set(batch.values("event_type"))
        self._old_types = batch.values("event_type")
        self._old_texts = batch.values("data")

    def same(self, row: int) -> None:
        """A row as it is."""
        self.put(row, self._old_types[row], self._old_texts[row])

    def put(self, row: int, name: str, text: str | None) -> None:
        """A row with another type and payload."""
        self.rows.append(row)
        self.types.append(name)
        self.texts.append(text)

    def failed(self, rows: Iterable[int], reason: str) -> None:
        """Rows as they are, marked."""
        clean = reason[:1000].encode("utf-8", "replace").decode()
        for row in rows:
            self.same(row)
            self.failures[row] = clean

    def one(self, row: int, event: Event) -> None:
        """An event in the place of a row; quick where it is the row's own, changed in type or payload at most."""
        if row_of(event, self.batch) != row:
            self.several(row, [event])
            return
        self._stands(event, (row,))
        name, text = event.event_type, event.data_text
        if name not in self._good:
            self._named(name)
        if text is not self._old_texts[row]:
            _strict(text)
        self.rows.append(row)
        self.types.append(name)
        self.texts.append(text)

    def stood(self, event: Event, group: Sequence[int]) -> Any:
        """A merged event: one that was changed in type or payload alone has the rest from the last of its group."""
        self._stands(event, group)
        row = row_of(event, self.batch)
        if row is None or row not in group:
            return event
        last = group[-1]
        place = (self.batch.values(name)[last] for name in ("position", "stream_id", "version"))
        return Seen(*place, event.event_type, event.data_text, self.batch, last)

    def several(
        self,
        row: int,
        items: Sequence[Any],
        *,
        schema_version: int | None = None,
        among: Sequence[int] | None = None,
    ) -> None:
        """Events, or pairs of type and payload, in the place of a row. Raises Wrong, and then nothing is made.

        ``among``: the rows whose payloads the new ones are made of, where they are not the row itself.
        """
        made = [self._item(row, item, schema_version, among) for item in items]
        own = False
        for name, text, cells, anew in made:
            place = len(self.rows)
            itself = not cells and not anew and name == self._old_types[row] and text == self._old_texts[row]
            if (len(made) > 1 and not itself) or (itself and own):
                cells.setdefault("event_id", None)
                if cells["event_id"] is None:
                    self._fresh.append(place)
            own = own or itself
            self.rows.append(row)
            self.types.append(name)
            self.texts.append(text)
            for column, value in cells.items():
                self._cells.setdefault(column, {})[place] = value

    def _stands(self, event: Event, rows: Sequence[int]) -> None:
        """Raise Wrong for an event that says it stands elsewhere than where it comes from; this makes no such change.

        One that was made anew comes from the rows in whose place it stands, and says 0 for what it leaves to us.
        """
        try:
            source = source_of(event)
        except TypeError as error:
            raise Wrong(str(error)) from None
        own = self.batch.values("stream_id")[rows[-1]]
        if event.stream_id != own:
            raise Wrong(
                f"an event of stream {own!r:.80} cannot become one of stream {event.stream_id!r:.80} here; "
                "move_events() and rename_stream() do that"
            )
        batch, rows = (self.batch, rows) if source is None else (source[0], (source[1],))
        for name, steps in _PLACE.items():
            values, value = batch.values(name), getattr(event, name)
            if not (any(values[row] == value for row in rows) or (source is None and value == 0)):
                raise Wrong(f"it gave {name} {value!r:.40} to an event that has {values[rows[-1]]}; for that: {steps}")

    def _named(self, value: Any) -> str:
        """An event type. Raises Wrong for what is none."""
        if value not in self._good:
            self._good.add(named(value))
        name: str = value
        return name

    def _item(
        self, row: int, item: Any, schema_version: int | None, among: Sequence[int] | None
    ) -> tuple[str, str | None, dict[str, Any], bool]:
        """Type, payload, further fields of a new row, and whether it is new even if it has the same content."""
        if isinstance(item, Event):
            self._stands(item, among or (row,))
            name = self._named(item.event_type)
            if item.data_text is not self._old_texts[row]:
                _strict(item.data_text)
            return name, item.data_text, self._cells_of(row, item), False
        if not isinstance(item, (tuple, list)) or len(item) != 2:
            raise Wrong(f"{said(item)} is no event, nor a pair of event type and payload")
        name, data = self._named(item[0]), item[1]
        cells: dict[str, Any] = {}
        if schema_version is not None or name != self._old_types[row]:
            cells["schema_version"] = schema_version
        if isinstance(data, Raw):
            return name, str(data), cells, True
        texts = [self._old_texts[one] for one in among or (row,)]
        if not (type(data) is dict or data is None or isinstance(data, Mapping)) and any(
            text is not None and text.lstrip().startswith("{") for text in texts
        ):
            raise Wrong(f"the payload of {name} is {said(data)}, not an object")
        return name, None if data is None else kept_of(texts, data), cells, True

    def _cells_of(self, row: int, event: Event) -> dict[str, Any]:
        """The fields in which an event differs from its row, but for type and payload."""
        if row_of(event, self.batch) == row:
            return {}
        cells: dict[str, Any] = {}
        metadata = event.metadata_text
        if metadata != self.batch.values("metadata")[row]:
            _strict(metadata)
            cells["metadata"] = metadata
        for name, kind in _SPARSE.items():
            value = getattr(event, name)
            if (value is None and name in _INHERITED) or value == self.batch.values(name)[row]:
                continue
            if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
                raise Wrong(f"{name} is {said(value)}, not {'a time' if kind is datetime else kind.__name__}")
            if isinstance(value, datetime):
                # One without an offset is UTC.
                value = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            elif isinstance(value, str):
                _text(value, name)
            elif isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise Wrong(f"{name} lies outside 64 bits")
            cells[name] = value
        return cells

    def tables(self) -> tuple[pa.RecordBatch, pa.RecordBatch]:
        """The new rows with ``anchor`` and ``place``; and ``k`` of the source rows that did not become just one.

        ``anchor`` is the version that the source row had; ``place`` tells the rows of one source row apart.
        """
        source, number = self.batch.rows, self.number
        rows = np.asarray(self.rows, np.int64)
        total = source.num_rows
        counts = np.bincount(rows, minlength=total)
        places = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        # Rows come in the order of their sources, but for those of a failed group, which are one each.
        whole = len(rows) == total and bool((rows == np.arange(total)).all())
        taken = source if whole else source.take(pa.array(rows, pa.int64()))
        fresh, failed = np.zeros(len(rows), bool), np.zeros(len(rows), bool)
        fresh[self._fresh] = True
        failed[[place for place, row in enumerate(self.rows) if row in self.failures] if self.failures else []] = True
        old_types, old_texts = self._old_types, self._old_texts
        changed = np.fromiter(
            (
                (name is not old_types[row] and name != old_types[row])
                or (text is not old_texts[row] and text != old_texts[row])
                for row, name, text in zip(self.rows, self.types, self.texts, strict=True)
            ),
            bool,
            len(rows),
        )
        changed |= fresh
        for cells in self._cells.values():
            changed[list(cells)] = True
        leads = _leads(rows, places, counts, changed)
        bit = 1 << number
        made = {name: taken.column(name) for name in source.schema.names}
        steps = made["steps"].to_numpy()
        met = made["met"].to_numpy()
        made["event_type"] = pa.array(self.types, source.schema.field("event_type").type)
        made["data"] = pa.array(self.texts, source.schema.field("data").type)
        for column, cells in self._cells.items():
            made[column] = _put(made[column], cells)
        if self._fresh:
            ids = {at: self._id(self.rows[at], int(places[at] - places[leads[at]])) for at in self._fresh}
            made["event_id"] = _put(made["event_id"], ids)
        made["anchor"] = made["version"]
        versions = made["version"].to_numpy()
        if (versions > 2**63 - 1 - places).any():
            raise EsbenchError("a version would lie outside 64 bits where one event becomes several")
        made["version"] = pa.array(versions + places)
        made["steps"] = pa.array(np.where(changed, steps | bit, steps))
        made["met"] = pa.array(np.where(leads == np.arange(len(rows)), met | bit, 0))
        made["place"] = pa.array((places - places[leads]).astype(np.int32))
        if self.failures:
            marks = [number if one else None for one in failed.tolist()]
            made["failed"] = pa.array(marks, source.schema.field("failed").type)
            why = [self.failures[row] if one else None for row, one in zip(self.rows, failed.tolist(), strict=True)]
            made["failure"] = pa.array(why, source.schema.field("failure").type)
        if self.merged:
            self._merge(made)
        odd = np.flatnonzero(counts != 1)
        gone = source.take(pa.array(odd, pa.int64())).select(
            ["stream_key", "version", "source", "origin", "others", "steps", "met"]
        )
        return pa.record_batch(made), gone.append_column("k", pa.array(counts[odd]))

    def _merge(self, made: dict[str, pa.Array[Any]]) -> None:
        """Put what merged rows are made of into their lineage."""
        origins, others, steps = (self.batch.values(name) for name in ("origin", "others", "steps"))
        bit = 1 << self.number
        new: dict[str, dict[int, Any]] = {"origin": {}, "others": {}, "steps": {}}
        for place, row in enumerate(self.rows):
            if row in self.merged:
                group = [*self.merged[row], row]
                listed = [one for each in group for one in (origins[each], *(others[each] or ())) if one is not None]
                unique = list(dict.fromkeys(listed))
                new["origin"][place] = unique[0] if unique else None
                new["others"][place] = unique[1:] or None
                new["steps"][place] = int(np.bitwise_or.reduce([steps[each] for each in group])) | bit
        for column, cells in new.items():
            made[column] = _put(made[column], cells)

    def _id(self, row: int, place: int) -> str:
        values = self.batch.values
        event_id: str | None = values("event_id")[row]
        if event_id is None:
            event_id = f"{values('stream_id')[row]}@{values('version')[row]}#{values('position')[row]}"
        return new_id(event_id, self.number, place)


def _leads(rows: Any, places: Any, counts: Any, changed: Any) -> Any:
    """For each new row, which one stands for its source row: the event itself if it is among them, else the first."""
    at = np.arange(len(rows))
    first = at - places
    itself = np.full(len(counts), len(rows))
    np.minimum.at(itself, rows[~changed], at[~changed])
    return np.where(itself[rows] < len(rows), itself[rows], first)


def _put(column: pa.Array[Any], cells: Mapping[int, Any]) -> pa.Array[Any]:
    """A column with other values at some places."""
    values: list[Any] = column.to_pylist() if pa.types.is_nested(column.type) else []
    if values:
        for place, value in cells.items():
            values[place] = value
        whole: pa.Array[Any] = pa.array(values, column.type)
        return whole
    mask = np.zeros(len(column), bool)
    mask[list(cells)] = True
    new = pa.array([cells[place] for place in sorted(cells)], column.type)
    put: pa.Array[Any] = compute.replace_with_mask(column, pa.array(mask), new)
    return put


def new_id(source: str, number: int, nth: int) -> str:
    """The id of a new row: a UUID (version 5) of its source event's id, or of that one's place, and the step.

    >>> new_id("e-1", 0, 1) == str(uuid.uuid5(IDS, "e-1/0/1"))
    True
    """
    name = f"{source}/{number}/{nth}"
    digits = hashlib.sha1(IDS.bytes + name.encode(), usedforsecurity=False).hexdigest()
    # As uuid.uuid5 writes it, without an object for each.
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:32]}"


def named(value: object) -> str:
    """An event type. Raises Wrong for what is none."""
    if not isinstance(value, str) or not value:
        raise Wrong(f"an event type is a text, not {said(value)}")
    _text(value, "an event type")
    return str(value)


def said(value: object) -> str:
    """What a function returned, in few words."""
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"


def _text(value: str, name: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong(f"{name} holds half a surrogate pair") from None


def _strict(text: object) -> None:
    """Raise Wrong for what is no strict JSON."""
    if text is None:
        return
    if not isinstance(text, str):
        raise Wrong(f"a payload is given as text, not as {said(text)}")
    try:
        _raw.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        if reason := payload.check(text):
            raise Wrong(f"a payload is {reason}") from None
