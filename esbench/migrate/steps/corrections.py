"""Steps that correct what stands in one event, or in the metadata of some."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from esbench import payload
from esbench.errors import nearest
from esbench.events import stream_name
from esbench.migrate.step import MigrationError, Step, Which, name_of, which
from esbench.migrate.work import Work, called, rewritten
from esbench.payload import PayloadError, edits, functions
from esbench.show import cell

__all__ = ["correct", "edit_metadata", "replace_event"]

_SAME: Any = object()


@dataclass(frozen=True, repr=False)
class Correct(Step):
    """One event with other values: an edit of its payload or another one, and another type."""

    stream: str
    column: str
    value: int | str
    said: str
    edit: edits.Edit | None = field(default=None, kw_only=True)
    texts: Mapping[str, str | None] = field(default_factory=dict, kw_only=True)
    event_type: str | None = field(default=None, kw_only=True)

    @property
    def sentence(self) -> str:
        return f"{self.said} at {self.column} {cell(self.value, width=60)} of {cell(self.stream, width=60)}"

    def over(self, work: Work, number: int) -> Work:
        bound: dict[str, Any] = {f"step{number}_stream": self.stream, f"step{number}_value": self.value}
        hit = f"stream_id = $step{number}_stream and {self.column} = $step{number}_value"
        self._one(work, hit, bound)
        if self.event_type is not None:
            bound[f"step{number}_type"] = self.event_type
        values = {} if self.event_type is None else {"event_type": f"$step{number}_type"}
        for column, text in self.texts.items():
            values[column] = f"$step{number}_{column}::varchar"
            bound[f"step{number}_{column}"] = text
        if self.edit is not None:
            edits.register(work.events.con)
            # An edit leaves an event without a payload alone; a correction gives it one.
            bound[f"step{number}_empty"] = self.edit.apply("{}")
            values["data"] = f"case when data is null then $step{number}_empty else {edits.sql(self.edit, 'data')} end"
        return rewritten(work, number, hit, values, **bound)

    def _one(self, work: Work, hit: str, bound: Mapping[str, Any]) -> None:
        """Raise MigrationError unless just one event is meant."""
        events = work.events
        ((found,),) = events.rows(f"select count(*) from events where {hit}", **bound)
        if found == 1:
            return
        if found:
            raise MigrationError(
                f"{self.sentence}: there are {found} events there; name the one that is meant by position= or event_id="
            )
        own, value = (f"${name}" for name in bound)
        number = isinstance(self.value, int)
        far = f"abs({self.column}::hugeint - {value})" if number else _far(self.column, value)
        near = [
            row[0]
            for row in events.rows(
                f"""
                select {self.column} from (
                    select distinct {self.column} from events where stream_id = {own} and {self.column} is not null
                )
                order by {far}, 1 limit 5
                """,
                **bound,
            )
        ]
        if near:
            told = f" Nearest: {', '.join(map(str, near))}" if number else nearest(str(self.value), near)
            raise MigrationError(f"{self.sentence}: there is no such event.{told}")
        streams = events.rows(
            f"""
            select stream_id from (select distinct stream_id from events)
            order by {_far("stream_id", "$own")}, 1 limit 5
            """,
            own=self.stream,
        )
        near = [row[0] for row in streams]
        if self.stream in near:
            raise MigrationError(f"{self.sentence}: the events of that stream have no {self.column}")
        raise MigrationError(f"{self.sentence}: there is no such stream.{nearest(self.stream, near)}")


def _far(column: str, value: str) -> str:
    """SQL for how far a text is from another."""
    return f"levenshtein(left({column}, 200), left({value}::varchar, 200))"


def correct(
    stream: str | int,
    *,
    version: int | None = None,
    position: int | None = None,
    event_id: str | None = None,
    set: Mapping[str, Any] | None = None,
    remove: Iterable[str] = (),
    event_type: str | None = None,
) -> Correct:
    """Correct one event: set or remove values at paths of its payload, or give it another type.

    What is not named keeps its text. An event that is not there is an error that names the nearest, and so is a version
    that several events claim.

    >>> correct("order-7", version=3, set={"/quantity": 3}, remove=["/note"])
    set /quantity 3, remove /note at version 3 of order-7
    """
    listed: list[edits.Edit] = []
    said: list[str] = []
    if event_type is not None:
        said.append(f"set type {_type(event_type)}")
    try:
        for path, value in (set or {}).items():
            raw = payload.encode(value)
            listed.append(edits.Add(path, raw, replace=True))
            said.append(f"set {cell(path)} {cell(raw, width=60)}")
        for path in (remove,) if isinstance(remove, str) else tuple(remove):
            listed.append(edits.Remove(path))
            said.append(f"remove {cell(path)}")
    except PayloadError as error:
        raise MigrationError(f"correct({stream!r}): {error}") from None
    if not said:
        raise MigrationError(f"correct({stream!r}): nothing to correct; give set=, remove= or event_type=")
    edit = edits.Many(listed) if listed else None
    place = _place("correct", version, position, event_id)
    return Correct(Which(), stream_name(stream), *place, ", ".join(said), edit=edit, event_type=event_type)


def replace_event(
    stream: str | int,
    *,
    version: int | None = None,
    position: int | None = None,
    event_id: str | None = None,
    event_type: str | None = None,
    data: Any = _SAME,
    metadata: Any = _SAME,
) -> Correct:
    """Put another event in the place of one: what is given of type, payload and metadata is new, None for none.

    It keeps its place, id and times. An event that is not there is an error that names the nearest.

    >>> replace_event("order-7", version=3, event_type="OrderCancelled", data={"reason": "test"})
    replace by OrderCancelled {"reason":"test"} at version 3 of order-7
    """
    texts: dict[str, str | None] = {}
    try:
        for column, value in (("data", data), ("metadata", metadata)):
            if value is not _SAME:
                texts[column] = None if value is None else payload.encode(value)
    except PayloadError as error:
        raise MigrationError(f"replace_event({stream!r}): {error}") from None
    if not texts and event_type is None:
        raise MigrationError(f"replace_event({stream!r}): nothing to replace; give event_type=, data= or metadata=")
    said = [] if event_type is None else [_type(event_type)]
    said += [cell(text, width=60) if text is not None else f"no {column}" for column, text in texts.items()]
    place = _place("replace_event", version, position, event_id)
    return Correct(
        Which(), stream_name(stream), *place, f"replace by {' '.join(said)}", texts=texts, event_type=event_type
    )


@dataclass(frozen=True, repr=False)
class EditMetadata(Step):
    """Metadata with other values; an event without any gets some."""

    said: str
    edit: edits.Edit | None = field(default=None, kw_only=True)
    call: functions.Call | None = field(default=None, kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {} if self.call is None else {name_of(self.call.function): self.call.function}

    @property
    def sentence(self) -> str:
        return f"{self.said} in metadata ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        if self.call is not None:
            return called(work, number, hit, self.call, column="metadata", **bound)
        edits.register(work.events.con)
        assert self.edit is not None
        made = self.edit.apply("{}")
        bound[f"step{number}_empty"] = None if made == "{}" else made
        value = f"case when metadata is null then $step{number}_empty else {edits.sql(self.edit, 'metadata')} end"
        return rewritten(work, number, hit, {"metadata": value}, **bound)


def edit_metadata(
    using: Callable[[Any], Any] | None = None,
    *,
    set: Mapping[str, Any] | None = None,
    remove: Iterable[str] = (),
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> EditMetadata:
    """Edit metadata: set or remove values at paths, or by a function of the decoded metadata; the rest keeps its text.

    What is set is also given to events without metadata; a function is not asked about these.

    >>> edit_metadata(set={"/tenant": "north"}, remove=["/user_agent"])
    set /tenant "north", remove /user_agent in metadata (every event)
    """
    removed = (remove,) if isinstance(remove, str) else tuple(remove)
    if (using is not None) == bool(set or removed):
        raise MigrationError("edit_metadata(): give a function, or set= and remove=")
    taken = which(type, streams=streams, where=where)
    if using is not None:
        return EditMetadata(taken, f"change values by {name_of(using)}", call=functions.upcast_text(using))
    listed: list[edits.Edit] = []
    said: list[str] = []
    try:
        for path, value in (set or {}).items():
            raw = payload.encode(value)
            listed.append(edits.Add(path, raw, replace=True))
            said.append(f"set {cell(path)} {cell(raw, width=60)}")
        for path in removed:
            listed.append(edits.Remove(path))
            said.append(f"remove {cell(path)}")
    except PayloadError as error:
        raise MigrationError(f"edit_metadata(): {error}") from None
    return EditMetadata(taken, ", ".join(said), edit=edits.Many(listed))


def _place(verb: str, version: int | None, position: int | None, event_id: str | None) -> tuple[str, int | str]:
    """Column and value of the one that is given. Raises MigrationError for none or several."""
    given = {"version": version, "position": position, "event_id": event_id}
    named = [(name, value) for name, value in given.items() if value is not None]
    if len(named) != 1:
        raise MigrationError(f"{verb}(): name the event by one of version=, position= and event_id=")
    name, value = named[0]
    if (name == "event_id") != isinstance(value, str) or isinstance(value, bool):
        raise MigrationError(f"{verb}(): {name}={value!r} is no {'text' if name == 'event_id' else 'integer'}")
    return name, value


def _type(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise MigrationError(f"an event type is named by a text, not by {name!r}")
    return cell(name, width=60)
