"""Suspects: one pass over integers that leaves few events for the checks to judge.

In folding order nearly all damage shows between neighbours, so one look back per event suffices: a stream in which
versions, positions and times ascend has no fork, no inversion and no regression, whatever else it holds. Suspicion is
generous and costs only time; each check's own SQL decides.
"""

from __future__ import annotations

from esbench.checks.check import Has
from esbench.checks.reader import Reader

__all__ = ["BACK", "CLOCK", "CLOSE", "GAP", "HEAD", "SAME", "TYPE", "measure", "mentions", "suspect"]

#: A stream's flags: its first version is not the base; a version is skipped; two events share a version; positions
#: go back; times go back or are missing; two neighbours were recorded soon after each other; stream types differ.
HEAD, GAP, SAME, BACK, CLOCK, CLOSE, TYPE = (2**n for n in range(7))

#: The lags see the event before, which is the first of its stream's events or of another stream's. Versions below 0 are
#: never valid, so that cutting them there loses no hole, and differences cannot overflow; times are compared as
#: doubles for the same reason, with a second to spare.
_FLAGGED = """
    select key, position, previous_key, {disorder} as disorder, case
        when key is distinct from previous_key then
            case when version <> $base or version < 0 then {HEAD} else 0 end
        else
            case when greatest(version, 0) - greatest(previous_version, 0) > 1 then {GAP} else 0 end
            + case when version = previous_version then {SAME} else 0 end
            + case when position < previous_position then {BACK} else 0 end
            + case when moment < previous_moment or (moment is null) <> (previous_moment is null)
                then {CLOCK} else 0 end
            + case when abs(moment::double - previous_moment::double) <= $window + 1e6 then {CLOSE} else 0 end
            + case when kind is distinct from previous_kind then {TYPE} else 0 end
        end as flags
    from (
        select
            stream_key as key, version, position, epoch_us(recorded_at) as moment, hash(stream_type) as kind,
            lag(stream_key) over {window} as previous_key,
            lag(version) over {window} as previous_version,
            lag(position) over {window} as previous_position,
            lag(epoch_us(recorded_at)) over {window} as previous_moment,
            lag(hash(stream_type)) over {window} as previous_kind
        from events
    )
"""

#: Rows are in folding order if and only if none stands before the one that it follows, and one follows none.
_DISORDER = """
    (key < previous_key or (key = previous_key and (
        version < previous_version or (version = previous_version and position <= previous_position)
    )))
"""


def suspect(reader: Reader) -> None:
    """Make the TEMP table ``suspects (stream_key, flags)``, and see whether the events come in folding order.

    Where Events say that they are ordered, the pass goes through them as they come, which is several times faster than
    a window by stream, and proves the order as it goes.
    """
    reader.ordered = reader.events.ordered
    _pass(reader)
    if reader.ordered:
        proof = reader.one(
            "select coalesce(bool_and(stream_key is not null) and sum(starts) = 1, true) as holds from suspects"
        )
        if not proof["holds"]:
            reader.ordered = False
            _pass(reader)


def _pass(reader: Reader) -> None:
    flagged = _FLAGGED.format(
        window=reader.window(),
        disorder=_DISORDER if reader.ordered else "false",
        **{name: globals()[name] for name in ("HEAD", "GAP", "SAME", "BACK", "CLOCK", "CLOSE", "TYPE")},
    )
    reader.make(
        "suspects",
        f"""
        select
            case when disorder then null else key end as stream_key,
            bit_or(flags) as flags,
            count(*) filter (previous_key is null) as starts
        from ({flagged})
        where flags <> 0 or disorder or previous_key is null
        group by 1
        """,
    )


def mentions(meaning: str) -> str:
    """SQL for the events whose metadata may have a key: it stands in their text, or something in it is escaped."""
    return f"(contains(metadata, ${meaning}_token) or contains(metadata, '\\'))"


def measure(reader: Reader, meanings: tuple[str, ...]) -> Has:
    """What the log offers to checks; whether metadata may name something is looked up in one scan."""
    seen = {}
    if meanings:
        counts = ", ".join(f"count(*) filter ({mentions(name)}) as {name}" for name in meanings)
        seen = reader.one(f"select {counts} from events")
    extent = reader.one(
        """
        select
            count(*) as events, count(distinct stream_key) as streams, count(event_id) as ids,
            count(recorded_at) as clock, count(stream_type) as stream_types
        from events
        """
    )
    return Has(**extent, metadata={name: seen.get(name, 0) for name in ("causation_id", "writer")})
