"""Logs to measure on: inventory items, 50 events each on average, interleaved as they would be recorded."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

__all__ = ["COLUMNS", "compact", "spaced"]

#: The input's columns, for the bare statement that loads are measured against.
COLUMNS = (
    "{stream_id: 'VARCHAR', stream_type: 'VARCHAR', version: 'BIGINT', event_id: 'VARCHAR', event_type: 'VARCHAR', "
    "recorded_at: 'TIMESTAMPTZ', data: 'JSON', metadata: 'JSON'}"
)


def compact(folder: Path, events: int) -> Path:
    """A file of JSON lines without white space; made once for each size. The same for the same number of events."""
    path = folder / f"events_{events}.jsonl"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        con = duckdb.connect()
        # Pseudo-random from the event's number: no seed, no order, any number of threads.
        con.execute(
            f"""
            copy (
                with drawn as (
                    select
                        i as n,
                        'item-' || lpad((hash(i) % {max(events // 50, 1)})::varchar, 9, '0') as stream_id,
                        hash(i * 7 + 1) % 100 as r,
                        (hash(i * 13 + 5) % 20 + 1)::int as quantity
                    from range({events}) as t(i)
                ),
                numbered as (select *, row_number() over (partition by stream_id order by n) as version from drawn)
                select
                    stream_id,
                    'InventoryItem' as stream_type,
                    version,
                    md5(n::varchar)::uuid as event_id,
                    case
                        when version = 1 then 'ItemCreated'
                        when r < 45 then 'ItemsAdded'
                        when r < 85 then 'ItemsOrdered'
                        when r < 95 then 'PriceChanged'
                        else 'ItemRenamed'
                    end as event_type,
                    strftime(timestamp '2024-01-01' + interval (n * 100) millisecond, '%Y-%m-%dT%H:%M:%S.%gZ')
                        as recorded_at,
                    case
                        when version = 1 then json_object(
                            'name', 'Item ' || stream_id, 'quantity', 5, 'price', quantity * 1.5)
                        when r < 45 then json_object('quantity', quantity, 'warehouse', 'W' || (r % 7))
                        when r < 85 then json_object(
                            'quantity', quantity, 'order_id', 'o-' || n,
                            'customer', json_object('id', 'c-' || (n % 1000), 'tier', 'gold'))
                        when r < 95 then json_object('price', quantity * 1.1, 'currency', 'EUR')
                        else json_object('name', 'renamed ' || n)
                    end as data,
                    json_object('correlation_id', 'corr-' || (n // 3), 'user', 'u' || (n % 97)) as metadata
                from numbered
                order by n
            ) to '{path}.part' (format json)
            """
        )
        Path(f"{path}.part").rename(path)
    return path


def spaced(folder: Path, events: int) -> Path:
    """The same events as Python's ``json.dumps`` writes them, with spaces."""
    path = folder / f"events_{events}_spaced.jsonl"
    if not path.exists():
        part = Path(f"{path}.part")
        with compact(folder, events).open() as lines, part.open("w") as out:
            out.writelines(json.dumps(json.loads(line)) + "\n" for line in lines)
        part.rename(path)
    return path
