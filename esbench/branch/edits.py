"""Branches: what if an event had not happened, or had been another, or one more had come.

A branch is a log with edits in one stream or several; the log itself is untouched. Edits are made one after another,
each to the branch as it stands, and each gives a new branch. The numbers are those that the log would have: what
follows an inserted event moves up by one, what follows one that never happened closes up, versions in the stream and
positions in the log, so that no check finds damage that only the numbering made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal
from uuid import UUID, uuid5

import pandas as pd

from esbench import payload
from esbench.branch.overlay import Overlay, Own
from esbench.branch.stream import BadEdit, Stream, integer
from esbench.event import CANONICAL, At, at
from esbench.events import Events, stream_name
from esbench.show import cell

__all__ = ["KEEP", "Edits", "Keep", "branch"]

#: Ids of inserted events are made from this, the stream and the edits, so that the same edits give the same ids.
_NAMESPACE = UUID("b1a0c3a2-6f5e-5a86-9d3e-0e5b6e1f7c11")


class Keep(Enum):
    """What stands for: as it is."""

    KEEP = "as it is"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True, slots=True)
class Edits:
    """A log's events with edits, as a value: :meth:`insert`, :meth:`drop` and :meth:`change` give new ones.

    ``source`` is the log, ``point`` the version of ``stream_id`` from which edits are taken (None: all of it), ``end``
    the version that an event inserted next gets, ``made`` says in words what was done, ``since`` is what
    had been done to the log before this branch began, and ``names`` are the ids of the streams by their keys.
    ``calls`` are the verbs that make it of the log, with their options (payloads as text); None where others did.
    """

    source: Events
    stream_id: str
    key: int
    point: int | None
    end: int
    overlay: Overlay = field(default_factory=Overlay)
    made: tuple[str, ...] = ()
    seed: UUID = _NAMESPACE
    since: Overlay = field(default_factory=Overlay)
    names: Mapping[int, str] = field(default_factory=dict)
    calls: tuple[tuple[str, Mapping[str, Any]], ...] | None = field(default=(), compare=False)

    @property
    def stream(self) -> Stream:
        """The stream as it stands."""
        return Stream(self.events, self.stream_id, self.key, self.point)

    @property
    def events(self) -> Events:
        """The events as they come out of the edits; without any, those of the log."""
        return self.overlay.over(self.source)

    def branch(self, stream_id: str | int, at: At = At()) -> Edits:  # noqa: B008 (a frozen value)
        """The same events, to be edited in this or another stream, from another coordinate on."""
        started = branch(self.events, stream_id, at)
        return replace(
            started,
            source=self.source,
            overlay=self.overlay,
            made=self.made,
            seed=self.seed,
            since=self.overlay,
            names={**self.names, **started.names},
            calls=self._calls(*(started.calls or ())[0]),
        )

    @property
    def edited(self) -> list[str]:
        """The ids of the streams that edits touch."""
        return [self.names[key] for key in self.overlay.keys]

    def moved(self, rejects: pd.DataFrame) -> pd.DataFrame:
        """Rejects of the log with the versions that they would have among the events as they are now."""
        steps = {self.names[key]: steps for key, steps in self.overlay.versions.items()}
        if not rejects["stream_id"].isin(list(steps)).any():
            return rejects
        versions = [
            steps[stream_id].of(int(version)) if stream_id in steps and pd.notna(version) else version
            for stream_id, version in zip(rejects["stream_id"], rejects["version"], strict=True)
        ]
        return rejects.assign(version=pd.Series(versions, index=rejects.index, dtype="Int64"))

    def insert(
        self,
        *,
        event_type: str,
        data: Any = None,
        version: int | None = None,
        shift: bool = True,
        metadata: Any = None,
        event_id: str | None = None,
        schema_version: int | None = None,
        recorded_at: object = None,
        occurred_at: object = None,
    ) -> Edits:
        """One event more, by default after the coordinate, or after the one inserted last.

        An event that has its version, and all that follow, move up by one; a free version is filled, and nothing moves.
        ``shift=False`` takes the version as it stands, which makes a fork or a gap. The event stands right after the
        one before it in its stream, recorded at the same time unless ``recorded_at`` is given, and of its stream
        type. ``data`` and ``metadata`` are encoded as JSON; None is none at all.
        """
        event_type = _text("event_type", event_type)
        wanted = self.end if version is None else integer("version", version)
        stream = self.stream
        stream.allow(wanted)
        if shift:
            stream.reach(wanted)
        place = stream.place(wanted, shift=shift)
        text, meta = _encoded("data", data), _encoded("metadata", metadata)
        seed = uuid5(self.seed, payload.encode([self.stream_id, wanted, shift, event_type, text, meta]))
        overlay = self.overlay.positions_moved(place.position, 1)
        if shift and place.taken:
            overlay = overlay.versions_moved(self.key, wanted, 1)
        values = {
            **dict.fromkeys(CANONICAL),
            "position": place.position,
            "stream_id": self.stream_id,
            "stream_type": place.stream_type,
            "version": wanted,
            "event_id": str(seed) if event_id is None else _text("event_id", event_id),
            "event_type": event_type,
            "schema_version": None if schema_version is None else integer("schema_version", schema_version),
            "recorded_at": place.recorded_at if recorded_at is None else _time(recorded_at),
            "occurred_at": None if occurred_at is None else _time(occurred_at),
            "data": text,
            "metadata": meta,
        }
        columns = {
            "data": data,
            "metadata": metadata,
            "event_id": event_id,
            "schema_version": schema_version,
            "recorded_at": recorded_at,
            "occurred_at": occurred_at,
        }
        options: dict[str, Any] = {name: values[name] for name, given in columns.items() if given is not None}
        if not shift:
            options["shift"] = False
        said = f"{cell(event_type)} inserted at version {wanted} of {cell(self.stream_id)}"
        return replace(
            self,
            overlay=overlay.added(Own(self.key, str(seed), values)),
            end=wanted + 1,
            made=(*self.made, said),
            seed=seed,
            calls=self._calls("insert", {"event_type": event_type, "version": wanted, **options}),
        )

    def drop(
        self,
        version: int | None = None,
        *,
        position: int | None = None,
        event_id: str | None = None,
        close: bool = True,
    ) -> Edits:
        """Without one event, as if it had not happened: what follows closes up.

        ``close=False`` leaves the gap, as if it had been lost. Where others hold the version, none closes up.
        """
        row = self.stream.one(version=version, position=position, event_id=event_id)
        number = int(row["version"])
        overlay = self.overlay.removed(self.key, row["position"])
        alone = row["holders"] == 1
        if close:
            overlay = overlay.positions_moved(row["position"] + 1, -1)
        if close and alone:
            overlay = overlay.versions_moved(self.key, number + 1, -1)
        return replace(
            self,
            overlay=overlay,
            end=self.end - 1 if close and alone and number < self.end else self.end,
            made=(*self.made, f"{self._called(row)} dropped{'' if close else ', as if lost'}"),
            seed=uuid5(self.seed, payload.encode(["drop", self.stream_id, number, row["position"], close])),
            calls=self._calls("drop", {"position": row["position"]} | ({} if close else {"close": False})),
        )

    def change(
        self,
        version: int | None = None,
        *,
        position: int | None = None,
        event_id: str | None = None,
        data: Any | Callable[[Any], Any] | Literal[Keep.KEEP] = KEEP,
        metadata: Any | Callable[[Any], Any] | Literal[Keep.KEEP] = KEEP,
        event_type: str | Literal[Keep.KEEP] = KEEP,
        schema_version: int | Literal[Keep.KEEP] | None = KEEP,
        recorded_at: object = KEEP,
        occurred_at: object = KEEP,
    ) -> Edits:
        """One event with another payload, type or time; its id, version and position stay.

        ``data`` and ``metadata`` are values, or functions from the decoded old value to the new one. What is not given
        keeps its text.
        """
        row = self.stream.one(version=version, position=position, event_id=event_id)
        given: dict[str, Any] = {}
        for name, value in (("data", data), ("metadata", metadata)):
            if value is not KEEP:
                given[name] = _encoded(name, _called_with(name, value, row[name]) if callable(value) else value)
        for name, value in (("recorded_at", recorded_at), ("occurred_at", occurred_at)):
            if value is not KEEP:
                given[name] = None if value is None else _time(value)
        if event_type is not KEEP:
            given["event_type"] = _text("event_type", event_type)
        if schema_version is not KEEP:
            given["schema_version"] = None if schema_version is None else integer("schema_version", schema_version)
        if not given:
            raise BadEdit("change() without a change: give data=, event_type=, metadata= or another column")
        changed = self.put(row, given, f"{self._called(row)} changed: {', '.join(given)}")
        return replace(changed, calls=self._calls("change", {"position": row["position"], **given}))

    def put(self, row: Mapping[str, Any], given: Mapping[str, Any], said: str) -> Edits:
        """The event of a row that :meth:`Stream.find` gave with other values, as columns."""
        values = {name: row[name] for name in CANONICAL} | dict(given)
        return replace(
            self,
            overlay=self.overlay.replaced(self.key, row["position"], values),
            made=(*self.made, said),
            seed=uuid5(self.seed, payload.encode(["put", self.stream_id, row["position"], dict(given)])),
            calls=None,
        )

    def room(self, version: int) -> Edits:
        """The events from a version on, one version higher."""
        end = self.end + 1 if version <= self.end else self.end
        return replace(self, overlay=self.overlay.versions_moved(self.key, version, 1), end=end, calls=None)

    def _calls(self, verb: str, options: Mapping[str, Any]) -> tuple[tuple[str, Mapping[str, Any]], ...] | None:
        return None if self.calls is None else (*self.calls, (verb, options))

    def _called(self, row: Mapping[str, Any]) -> str:
        return f"{cell(row['event_type'])} at version {row['version']} of {cell(self.stream_id)}"


def branch(events: Events, stream_id: str | int, at: At = At()) -> Edits:  # noqa: B008 (a frozen value)
    """Begin a branch in a stream at a coordinate: up to it the stream is as recorded, edits are taken from it on.

    Events after the coordinate stay until they are dropped. Without a coordinate any event can be edited, and new
    ones go to the end. Raises UnknownStream, with the nearest names.
    """
    stream_id = stream_name(stream_id)
    stream = events.stream(stream_id)
    *_, key = stream.parameters.values()
    first, last = stream.rows("select min(version), max(version) from events")[0]
    base = events.facts.base if events.facts.base is not None else 1 if first is None else first
    names = {key: stream_id}
    coordinate = {"version": at.version, "as_of": at.as_of and at.as_of.isoformat(), "position": at.position}
    started = {name: value for name, value in {"stream": stream_id, **coordinate}.items() if value is not None}
    calls = (("branch", started),)
    if at == At():
        return Edits(events, stream_id, key, None, base if last is None else last + 1, names=names, calls=calls)
    point = stream.at(at).rows("select max(version) from events")[0][0]
    return Edits(events, stream_id, key, point, base if point is None else point + 1, names=names, calls=calls)


def _encoded(name: str, value: Any) -> str | None:
    try:
        return None if value is None else payload.encode(value)
    except payload.PayloadError as error:
        raise BadEdit(f"{name} cannot be written as JSON: {error}") from None


def _called_with(name: str, function: Callable[[Any], Any], text: str | None) -> Any:
    result = function(None if text is None else payload.decode(text))
    if result is None:
        raise BadEdit(f"the function for {name} returned None; it returns the new value ({name}=None leaves none)")
    return result


def _text(name: str, value: Any) -> str:
    try:
        if isinstance(value, str) and value and value.encode():
            return value
    except UnicodeEncodeError:
        pass
    raise BadEdit(f"{name} is a text that is not empty, not {value!a}")


def _time(value: object) -> str:
    moment = at(as_of=value).as_of
    assert moment is not None
    return moment.isoformat()
