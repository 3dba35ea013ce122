"""The check of handlers themselves: the same event on the same state gives the same state, whenever it is folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby
from operator import attrgetter

from esbench.aggregate import Aggregate
from esbench.checks.check import Check, Found, Said, Seen, named, shown
from esbench.checks.reader import Reader
from esbench.events import Events
from esbench.fold.changes import changes, same
from esbench.fold.given import applied
from esbench.fold.python import Step, initial_state, steps

__all__ = ["CHECKS", "find_unrepeatable"]

_NAME = "handler-nondeterministic"
#: So many streams of each event type are folded twice, so many events of each, and about so many in all.
_STREAMS, _EVENTS, _ALL = 3, 1_000, 20_000


def _tell(found: Found, events: Mapping[int, Seen]) -> Said:
    event, detail = found.own(events), found.detail
    where = f" at {shown(detail['path'])}" if detail["path"] else ""
    if detail["initial"]:
        return Said(
            f"another initial state{where}",
            "the same initial state",
            f"The initial state of {shown(detail['aggregate'])} differs from time to time{where}: it depends on "
            "more than the aggregate, such as a clock, a random number or a counter.",
        )
    seen = "an error at times" if detail["path"] is None else f"another state{where}"
    return Said(
        seen,
        "the same state",
        f"The handler for {shown(event.event_type)} of {shown(detail['aggregate'])} gives {seen} when version "
        f"{event.version} of stream {shown(found.stream_id)} ({named(event)}) is folded again on the same state: it "
        "depends on more than state and event, such as a clock, a random number or a global variable.",
    )


CHECKS = (
    Check(
        _NAME,
        ("error",),
        "A handler makes different states of one event on one state, so that no answer can be relied on. Told once an "
        "event type; a sample of the streams of each type is folded twice.",
        _tell,
        kind="meaning",
    ),
)


def find_unrepeatable(reader: Reader, aggregate: Aggregate) -> Iterator[Found]:
    """One finding an event type whose handler did not repeat itself on the sample, and one for the initial state."""
    aggregate.freeze()
    sample = _sample(reader, aggregate)
    if sample is None:
        return
    differing: dict[str | None, list[tuple[Step, str | None]]] = {}
    once, again = initial_state(aggregate), initial_state(aggregate)
    for _, stream in groupby(steps(sample, aggregate), key=attrgetter("key")):
        # The whole stream first, so that a clock has gone on before the second time.
        every = list(stream)
        if not same(once, again):
            differing.setdefault(None, []).append((every[0], _path(once, again)))
        for step in every:
            value, error = applied(aggregate, step.before, step.event)
            if (error is None) != (step.error is None):
                differing.setdefault(step.event.event_type, []).append((step, None))
            elif not same(step.value, value):
                differing.setdefault(step.event.event_type, []).append((step, _path(step.value, value)))
    for event_type, found in differing.items():
        step, path = min(found, key=lambda each: each[0].event.position)
        positions = sorted(each.event.position for each, _ in found)
        # What the states are is left out: it would make the finding another each time.
        detail = {"aggregate": aggregate.name, "path": path, "initial": event_type is None}
        event = step.event
        yield Found(
            _NAME, "error", event.stream_id, event.version, None, event.position,
            tuple(positions[:100]), len(positions), detail,
        )  # fmt: skip


def _sample(reader: Reader, aggregate: Aggregate) -> Events | None:
    """The beginnings of some streams, always the same: for each event type with a handler those first by hash of id."""
    reader.parameters |= {"handled": sorted(aggregate.handlers), "sampled": _STREAMS}
    rows = reader.rows(
        """
        select distinct stream_key
        from (
            select stream_key,
                row_number() over (partition by event_type order by md5(stream_id), stream_id) as place
            from (
                select stream_key, event_type, any_value(stream_id) as stream_id
                from events
                where event_type in (select unnest($handled::varchar[]))
                group by stream_key, event_type
            )
        )
        where place <= $sampled
        """
    )
    if not rows:
        return None
    keys = sorted(row["stream_key"] for row in rows)
    name = f"_keys{len(reader.events.parameters)}"
    inside = reader.events.where(f"stream_key in (select unnest(${name}))", **{name: keys})
    most = min(_EVENTS, max(_ALL // len(keys), 50))
    query = f"""
        select * from ({inside.query})
        qualify row_number() over (partition by stream_key order by version, position) <= {most}
    """
    return replace(inside, query=query, ordered=False)


def _path(first: object, second: object) -> str:
    """Where two values differ first."""
    return next((change.path for change in changes(first, second)), "")
