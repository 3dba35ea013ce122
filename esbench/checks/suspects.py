"""Suspects: one pass over integers that leaves few events for the checks to judge.

In folding order nearly all damage shows between neighbours, so one look back per event suffices: a stream in which
versions, positions and times ascend has no fork, no inversion and no regression, whatever else it holds. Suspicion is
generous and costs only time; each check's own SQL decides.
"""

from __future__ import annotations

from esbench.checks.check import Has
from esbench.checks.reader import Reader
from esbench.fold.neighbours import DISORDER, beside

__all__ = ["BACK", "CLOCK", "CLOSE", "GAP", "HEAD", "SAME", "TYPE", "measure", "mentions", "suspect"]

#: A stream's flags: its first version is not the base; a version is skipped; two events share a version; positions
#: go back; times go back or are missing; two neighbours were recorded soon after each other; stream types differ.
HEAD, GAP, SAME, BACK, CLOCK, CLOSE, TYPE = (2**n for n in range(7))

#: The event before may be another stream's. Versions below 0 are never valid, so that cutting them there loses no hole,
#: and differences cannot overflow; times are compared as doubles for the same reason, with a second to spare.
_FLAGGED = """
    select stream_key as key, stream_key_before, {disorder} as disorder, case
        when stream_key is distinct from stream_key_before then
            case when version <> $base or version < 0 then {HEAD} else 0 end
        else
            case when greatest(version, 0) - greatest(version_before, 0) > 1 then {GAP} else 0 end
            + case when version = version_before then {SAME} else 0 end
            + case when position < position_before then {BACK} else 0 end
            + case when moment < moment_before or (moment is null) <> (moment_before is null) then {CLOCK} else 0 end
            + case when abs(moment::double - moment_before::double) <= $window + 1e6 then {CLOSE} else 0 end
            + case when kind is distinct from kind_before then {TYPE} else 0 end
        end as flags
    from ({beside})
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
        beside=beside(reader.window(), moment="epoch_us(recorded_at)", kind="hash(stream_type)"),
        disorder=DISORDER if reader.ordered else "false",
        **{name: globals()[name] for name in ("HEAD", "GAP", "SAME", "BACK", "CLOCK", "CLOSE", "TYPE")},
    )
    reader.make(
        "suspects",
        f"""
        select
            case when disorder then null else key end as stream_key,
            bit_or(flags) as flags,
            count(*) filter (stream_key_before is null) as starts
        from ({flagged})
        where flags <> 0 or disorder or stream_key_before is null
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
