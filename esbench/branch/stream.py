"""The stream that a branch edits: which event is meant, and where a new one fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from esbench.branch.overlay import texts
from esbench.errors import BadCoordinate, EsbenchError, nearest
from esbench.event import CANONICAL
from esbench.events import Events
from esbench.show import cell

__all__ = ["BadEdit", "Place", "Stream", "UnknownEvent", "integer"]


class UnknownEvent(EsbenchError, KeyError):
    """No event of that version, position or id in the stream, or several."""


class BadEdit(EsbenchError, ValueError):
    """An edit that cannot be made: says why, and what can."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new event fits: its position, what it takes over from its neighbour, and whether its version is taken."""

    position: int
    recorded_at: str | None
    stream_type: str | None
    taken: bool


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of a branch as it stands; ``point`` is the version from which it may be edited."""

    events: Events
    stream_id: str
    key: int
    point: int | None

    def find(self, condition: str = "true", **parameters: Any) -> list[dict[str, Any]]:
        """Events as rows, in folding order, that meet a condition in SQL; times are text.

        ``holders`` is how many events have the row's version.
        """
        rows = self._rows(
            f"""
            select {texts()}, holders
            from (select *, count(*) over (partition by version) as holders from events)
            where {condition} order by version, position
            """,
            **parameters,
        )
        return [dict(zip((*CANONICAL, "holders"), row, strict=True)) for row in rows]

    def one(self, *, version: int | None, position: int | None, event_id: str | None) -> dict[str, Any]:
        """The one event that is meant, as a row. Raises UnknownEvent, with the nearest, and BadCoordinate."""
        given = {"version": version, "position": position, "event_id": event_id}
        named = [(name, value) for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise BadEdit(f"an event is named by one of version, position and event_id; got {len(named)}")
        ((name, value),) = named
        found = self.find(f"{name} = $named", named=str(value) if name == "event_id" else integer(name, value))
        what = f"{name} {cell(value)}"
        if not found:
            raise UnknownEvent(f'no event of {what} in "{cell(self.stream_id)}".{self._near(name, value)}')
        if len(found) > 1:
            places = ", ".join(str(row["position"]) for row in found[:5])
            raise UnknownEvent(
                f'"{cell(self.stream_id)}" has {len(found)} events of {what}: name one by position= ({places})'
            )
        self.allow(found[0]["version"])
        return found[0]

    def allow(self, version: int) -> None:
        """Refuse to edit what lies before the coordinate of the branch."""
        if self.point is not None and version < self.point:
            raise BadCoordinate(
                f'version {version} of "{cell(self.stream_id)}" lies before the coordinate of the branch, version '
                f"{self.point}; what lies before that stays as recorded. To edit it, begin at version={version}"
            )

    def place(self, version: int, *, shift: bool) -> Place:
        """Where an event of a version fits; with ``shift``, before any that has the version, else after those.

        That is right after the event before it, but never after one that follows it, which would be an inversion.
        """
        before = self._rows(
            f"""
            select position + 1, recorded_at::varchar, stream_type
            from events where version {"<" if shift else "<="} $here
            order by version desc, position desc limit 1
            """,
            here=version,
        )
        after = self._rows(
            f"""
            select position, recorded_at::varchar, stream_type, min(version) over () = $here
            from events where version {">=" if shift else ">"} $here
            order by position limit 1
            """,
            here=version,
        )
        taken = bool(after and after[0][3])
        if not before and not after:
            last = self.events.rows("select coalesce(max(position), 0) + 1 from events")[0][0]
            return Place(last, None, None, taken=False)
        _, recorded_at, stream_type = (*before, *(row[:3] for row in after))[0]
        return Place(min(row[0] for row in (*before, *after)), recorded_at, stream_type, taken)

    def reach(self, version: int) -> None:
        """Refuse a version that would leave a gap, or lies below the first."""
        first, last = self._rows("select min(version), max(version) from events")[0]
        numbers = [number for number in (first, self.events.facts.base) if number is not None]
        if numbers and version < min(numbers):
            where = f"lies below the first, {min(numbers)}"
        elif last is not None and version > last + 1:
            where = f"leaves a gap after the last, {last}"
        else:
            return
        raise BadEdit(
            f'version {version} {where}, in "{cell(self.stream_id)}"; shift=False inserts it there all the same'
        )

    def _near(self, name: str, value: Any) -> str:
        if name == "event_id":
            rows = self._rows(
                """
                select event_id from events where event_id is not null
                order by levenshtein(left(event_id, 200), left($named, 200)), version, position limit 20
                """,
                named=str(value),
            )
            return nearest(str(value), [row[0] for row in rows])
        near = self._rows(
            f"""
            select max({name}) filter ({name} < $named), min({name}) filter ({name} > $named) from events
            """,
            named=value,
        )
        known = [str(number) for number in near[0] if number is not None]
        return f" Nearest: {' and '.join(known)}." if known else " No event of it is left."

    def _rows(self, text: str, **parameters: Any) -> list[tuple[Any, ...]]:
        return self.events.where("stream_key = $_edited", _edited=self.key).rows(text, **parameters)


def integer(name: str, value: Any) -> int:
    """A version, position or schema version. Raises BadEdit for what is no integer of 64 bits."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not -(2**63) <= int(value) < 2**63:
        raise BadEdit(f"{name} is not an integer: {value!r}")
    return int(value)
