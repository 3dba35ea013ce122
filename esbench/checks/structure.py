"""Structure checks: what is wrong with a log, whatever its events mean."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from esbench.checks import causes, order, repeats, versions
from esbench.checks.check import Check, Found, Has
from esbench.checks.reader import Reader
from esbench.checks.suspects import measure, mentions, suspect
from esbench.facts import Facts

__all__ = ["CHECKS", "DAMAGE", "Rejected", "find", "offer"]

CHECKS: tuple[Check, ...] = (*versions.CHECKS, *repeats.CHECKS, *order.CHECKS, *causes.CHECKS)

#: Damage after which the state of a stream is not what its events meant.
DAMAGE = ("missing-head", "version-gap", "duplicate-event", "version-fork")

#: Versions of each stream that are among the rejects, ascending.
Rejected = Mapping[str, Sequence[int]]

_FROM_METADATA = {"broken-causation": "causation_id", "interleaved-writers": "writer"}


def offer(reader: Reader, checks: Iterable[Check]) -> Has:
    """What the log has that these checks need, found in one scan."""
    meanings = tuple(_FROM_METADATA[check.name] for check in checks if check.name in _FROM_METADATA)
    return measure(reader, meanings)


def find(reader: Reader, checks: Sequence[Check], facts: Facts, rejected: Rejected) -> list[Found]:
    """All findings of structure checks that can be claimed.

    Each check's SQL runs over the events that can have a finding, which costs next to nothing in a sound log.
    """
    names = {check.name for check in checks}
    suspect(reader)
    ids = bool(names & {"duplicate-event", "event-id-reused"}) and repeats.suspect_ids(reader)
    contents = "repeated-content" in names and repeats.suspect_contents(reader)
    found: list[Found] = []
    for check in checks:
        if check.name == "broken-causation":
            found += causes.find_broken(reader, facts)
        elif (check.name == "event-id-reused" and not ids) or (check.name == "repeated-content" and not contents):
            continue
        elif check.name != "position-gap" or _has_holes(reader):
            found += _run(reader, check)
    return [_finished(each, facts, rejected) for each in found]


def _run(reader: Reader, check: Check) -> Iterable[Found]:
    assert check.sql is not None
    narrow = mentions("writer") if check.name == "interleaved-writers" else check.narrow
    for row in reader.rows(check.sql, narrow=narrow):
        place = (row.pop("stream_id"), row.pop("version"), row.pop("to_version"), row.pop("position"))
        yield Found(check.name, check.severities[0], *place, tuple(row.pop("positions")), row.pop("involved"), row)


def _has_holes(reader: Reader) -> bool:
    """Whether there are fewer positions than numbers from the lowest to the highest; saves sorting them."""
    extent = reader.one("select max(position)::hugeint - min(position) + 1 as numbers, count(*) as events from events")
    return bool(extent["events"] and extent["numbers"] != extent["events"])


def _finished(found: Found, facts: Facts, rejected: Rejected) -> Found:
    """A finding with what only Facts and rejects know."""
    if found.check not in ("version-gap", "missing-head") or found.stream_id is None:
        return found
    assert found.version is not None
    assert found.to_version is not None
    inside = [v for v in rejected.get(found.stream_id, ()) if found.version <= v <= found.to_version]
    declared = found.check == "missing-head" and facts.is_truncated(found.stream_id)
    return replace(found, severity="info" if declared else found.severity, detail={**found.detail, "rejected": inside})
