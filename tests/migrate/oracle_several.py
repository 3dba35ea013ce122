"""What steps with several rows make of a log, as lists of dicts: slow, plain, without a line of esbench.

A row is a dict of the canonical columns (``data`` and ``metadata`` as text) and of its lineage. Instead of ``nth`` it
has ``place``, a tuple with a number for every step so far: rows of one position stand in the order of their places.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tests.oracle import Row

Dict = dict[str, Any]

#: As written in the documentation of the package; an id must not change from one version to the next.
IDS = uuid.UUID("5b0d8f5c-6f0e-5d9c-9a53-0f7d1b6c2e41")


class Log:
    """Rows on their way through steps, and what became of those that are gone."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.rows: list[Dict] = [
            {
                **row.columns(),
                "origin": row.position,
                "others": None,
                "place": (),
                "steps": 0,
                "met": 0,
                "failed": None,
            }
            for row in rows
        ]
        self.gone: list[tuple[int, int, bool]] = []
        self.added = False
        self.number = 0

    def ordered(self) -> list[Dict]:
        return sorted(self.rows, key=lambda row: (row["stream_id"], row["version"], row["position"], row["place"]))

    def streams(self) -> dict[str, list[Dict]]:
        found: dict[str, list[Dict]] = {}
        for row in self.ordered():
            found.setdefault(row["stream_id"], []).append(row)
        return found

    def step(self, become: Callable[[Dict], list[Dict] | None], *, merged: bool = False) -> None:
        """One step: ``become`` gives the rows that take the place of a row, None where it is not met."""
        bit = 1 << self.number
        most: dict[tuple[str, int], int] = {}
        made: list[tuple[int, Dict]] = []
        for row in self.rows:
            children = become(row)
            if children is None:
                children = [dict(row)]
            elif not children:
                for origin in [row["origin"], *(row["others"] or ())]:
                    self.gone.append((origin, self.number, merged))
            else:
                lead = next((child for child in children if child["steps"] == row["steps"]), children[0])
                for child in children:
                    child["met"] = row["met"] | bit if child is lead else 0
            at = (row["stream_id"], row["version"])
            most[at] = max(most.get(at, 0), len(children))
            self.added = self.added or len(children) > 1
            leads = [index for index, child in enumerate(children) if child["met"] or len(children) == 1] or [0]
            for index, child in enumerate(children):
                offset = index - leads[0]
                child["place"] = (*row["place"], offset)
                if child.pop("fresh", False):
                    own = row["event_id"] or f"{row['stream_id']}@{row['version']}#{row['position']}"
                    child["event_id"] = str(uuid.uuid5(IDS, f"{own}/{self.number}/{offset}"))
                child["version"] = row["version"] + index
                made.append((row["version"], child))
        for anchor, child in made:
            child["version"] += sum(
                k - 1 for (stream, version), k in most.items() if stream == child["stream_id"] and version < anchor
            )
        self.rows = [child for _, child in made]
        self.number += 1

    def end(self) -> list[Dict]:
        """The rows in folding order, with positions given anew where rows were added."""
        if self.added:
            for place, row in enumerate(sorted(self.rows, key=lambda row: (row["position"], row["place"])), start=1):
                row["position"] = place
        return self.ordered()

    def dropped(self) -> dict[int, int]:
        """The step that took away each source event that no row comes from."""
        living = {origin for row in self.rows for origin in [row["origin"], *(row["others"] or ())]}
        found: dict[int, int] = {}
        for origin, step, merged in self.gone:
            if not merged and origin not in living:
                found[origin] = min(step, found.get(origin, step))
        return found


def changed(row: Dict, number: int, **values: Any) -> Dict:
    """A row with other values; marked as changed where they differ."""
    new = {**row, **values}
    same = all(new[name] == row.get(name) for name in values)
    return new if same else {**new, "steps": row["steps"] | 1 << number}


def failed(row: Dict, number: int) -> Dict:
    return {**row, "failed": number}


def new(row: Dict, number: int, event_type: str, data: str | None) -> Dict:
    """A row beside others, with an id of its own; its schema version goes with its type."""
    version = row["schema_version"] if event_type == row["event_type"] else None
    return {
        **row,
        "event_type": event_type,
        "data": data,
        "schema_version": version,
        "steps": row["steps"] | 1 << number,
        "fresh": True,
    }


def runs(log: Log, types: Sequence[str]) -> list[list[Dict]]:
    """Runs of events of some types, from the left, none sharing an event with another."""
    found = []
    for stream in log.streams().values():
        at = 0
        while at < len(stream):
            group = stream[at : at + len(types)]
            if [row["event_type"] for row in group] == list(types) and all(row["failed"] is None for row in group):
                found.append(group)
                at += len(types)
            else:
                at += 1
    return found


def merge(log: Log, types: Sequence[str], result: Callable[[list[Dict]], tuple[str, str | None] | str | None]) -> None:
    """Each run becomes one row at the place of its last, unless there is no result (None) or a failure ("fails")."""
    become: dict[int, list[Dict]] = {}
    bit = 1 << log.number
    for group in runs(log, types):
        given = result(group)
        if given is None or isinstance(given, str):
            for row in group:
                become[id(row)] = [dict(row) if given is None else failed(row, log.number)]
            continue
        last = group[-1]
        origins = [origin for row in group for origin in [row["origin"], *(row["others"] or ())]]
        origins = list(dict.fromkeys(origins))
        steps = bit
        for row in group:
            steps |= row["steps"]
        one = {**last, "event_type": given[0], "data": given[1], "origin": origins[0], "others": origins[1:] or None}
        if given[0] != last["event_type"]:
            one["schema_version"] = None
        for row in group[:-1]:
            become[id(row)] = []
        become[id(last)] = [{**one, "steps": steps}]
    log.step(lambda row: become.get(id(row)), merged=True)


def reorder(log: Log, key: Callable[[Dict], Any]) -> None:
    """Versions given anew by another order; what has no key comes last."""
    bit = 1 << log.number
    for stream in log.streams().values():
        if any(row["failed"] is not None for row in stream):
            continue
        first = stream[0]["version"]
        known = sorted((row for row in stream if key(row) is not None), key=key)
        for version, row in enumerate([*known, *(row for row in stream if key(row) is None)], start=first):
            row["met"] |= bit
            if row["version"] != version:
                row["version"], row["steps"] = version, row["steps"] | bit
    for row in log.rows:
        row["place"] = (*row["place"], 0)
    log.number += 1
