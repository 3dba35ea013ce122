"""Write the sample logs of this folder, and export what is planted in them.

`python data/make.py` rewrites the files, always the same: seeded, standard library only. Tests read the truth
from here, with this folder on the path: `PLANTED` (every finding that a check should have on these logs, and
no other), `REJECTS` (every record that cannot become an event), `COUNTS` (what a load should count, by file)
and `build()` (file name to bytes). README.md beside this script tells the stories.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import accounts
import inventory
import orders
import products
import shipments
from recording import Draft, Planted, Recorder, Rejected, iso, text

__all__ = ["COUNTS", "NOISE", "PLANTED", "REJECTS", "Counts", "Planted", "Rejected", "build"]

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Counts:
    """What a load of the file should count: records = events + rejects."""

    records: int
    events: int
    streams: int


NOISE = "WARN export: connection reset by peer, resuming at position 201"
NOISE_LINE = 201


def canonical(draft: Draft) -> dict[str, Any]:
    """The canonical columns, in their order."""
    return {
        "position": draft.position,
        "stream_id": draft.stream,
        "stream_type": draft.kind,
        "version": draft.version,
        "event_id": draft.event_id,
        "event_type": draft.name,
        "schema_version": draft.schema,
        "recorded_at": iso(draft.shown),
        "data": draft.data,
        "metadata": draft.all_metadata(),
    }


def without_position(draft: Draft) -> dict[str, Any]:
    """As a store writes it that numbers streams only; its clock is Hamburg's, in winter."""
    columns = canonical(draft)
    del columns["position"], columns["schema_version"]
    return {**columns, "recorded_at": iso(draft.shown, hours=1)}


def with_aliases(draft: Draft) -> dict[str, Any]:
    """The same under names that other stores use, and the time of the scan beside the time of recording."""
    assert draft.occurred is not None
    return {
        "position": draft.position,
        "aggregate_type": draft.kind,
        "aggregate_id": draft.stream,
        "sequence": draft.version,
        "event_id": draft.event_id,
        "type": draft.name,
        "timestamp": iso(draft.shown),
        "occurred_at": iso(draft.occurred),
        "payload": draft.data,
        "metadata": draft.all_metadata(),
    }


def json_lines(drafts: list[Draft], record: Callable[[Draft], dict[str, Any]], *, spaced: bool = False) -> list[str]:
    """A line for every draft, damaged where that is planned."""
    lines = [text(record(draft), spaced=spaced) for draft in drafts]
    return [draft.damage(line) if draft.damage else line for draft, line in zip(drafts, lines, strict=True)]


def ended(lines: list[str]) -> str:
    """The lines as one text, each with its end."""
    return "".join(f"{line}\n" for line in lines)


def csv_text(drafts: list[Draft]) -> str:
    """Naive times in UTC to the second; payloads as JSON text, quoted."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    for draft in drafts:
        row = {**canonical(draft), "recorded_at": f"{draft.shown:%Y-%m-%d %H:%M:%S}"}
        del row["schema_version"]
        row |= {"data": text(row["data"]), "metadata": text(row["metadata"])}
        if out.tell() == 0:
            writer.writerow(row)
        writer.writerow(row.values())
    return out.getvalue()


def packed(content: str) -> bytes:
    """A gzip file without a time or a file name in it, so that it is the same every time."""
    out = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=out, compresslevel=9, mtime=0) as file:
        file.write(content.encode())
    return out.getvalue()


def inventory_lines(drafts: list[Draft]) -> list[str]:
    """The lines of the warehouse's log, with the export's warning among them."""
    lines = json_lines(drafts, canonical)
    return [*lines[: NOISE_LINE - 1], NOISE, *lines[NOISE_LINE - 1 :]]


def rejected(log: Recorder, drafts: list[Draft], lines: list[str]) -> list[Rejected]:
    """The damaged lines where they stand, and the line that was never an event."""
    found = [Rejected(log.file, NOISE_LINE, NOISE, "the export wrote a warning between the lines")]
    for number, draft in enumerate(drafts, start=1):
        if draft.damage:
            line = number + (number >= NOISE_LINE)
            found.append(Rejected(log.file, line, lines[line - 1], draft.damage_story))
    return sorted(found, key=lambda reject: reject.line)


LOGS = tuple(module.record() for module in (inventory, products, accounts, shipments, orders))
INVENTORY, PRODUCTS, ACCOUNTS, SHIPMENTS, ORDERS = LOGS
DRAFTS: Mapping[str, list[Draft]] = {log.file: log.arranged() for log in LOGS}

REJECTS: tuple[Rejected, ...] = tuple(
    rejected(INVENTORY, DRAFTS[INVENTORY.file], inventory_lines(DRAFTS[INVENTORY.file]))
)
PLANTED: tuple[Planted, ...] = tuple(finding for log in LOGS for finding in log.planted(positions=log is not PRODUCTS))


def count(log: Recorder) -> Counts:
    """What stands in the file of the log."""
    events = [draft for draft in DRAFTS[log.file] if not draft.damage]
    rejects = sum(reject.file == log.file for reject in REJECTS)
    return Counts(len(events) + rejects, len(events), len({draft.stream for draft in events}))


COUNTS: Mapping[str, Counts] = {log.file: count(log) for log in LOGS}


def build() -> dict[str, bytes]:
    """The files, by name."""
    return {
        INVENTORY.file: "\n".join(inventory_lines(DRAFTS[INVENTORY.file])).encode(),  # cut off: no newline
        PRODUCTS.file: ended(json_lines(DRAFTS[PRODUCTS.file], without_position, spaced=True)).encode(),
        ACCOUNTS.file: csv_text(DRAFTS[ACCOUNTS.file]).encode(),
        SHIPMENTS.file: ended(json_lines(DRAFTS[SHIPMENTS.file], with_aliases)).encode(),
        ORDERS.file: packed(ended(json_lines(DRAFTS[ORDERS.file], canonical))),
    }


def main() -> None:
    """Write the files beside this script, and say what was written."""
    for name, content in build().items():
        (HERE / name).write_bytes(content)
        counts = COUNTS[name]
        rejects = counts.records - counts.events
        print(f"{name}: {counts.events:,} events, {counts.streams:,} streams, {rejects} rejects", end=", ")
        print(f"{len(content):,} bytes")
    print(f"{len(PLANTED)} findings planted, {len(REJECTS)} rejects: README.md")


if __name__ == "__main__":
    main()
