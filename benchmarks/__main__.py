"""``python -m benchmarks``: every measurement, side by side; ``--events`` makes it shorter."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import checks, fields, growth, load, migrations, projections, states, workbench
from benchmarks.measure import machine

PARTS = {
    "load": load.run,
    "checks": checks.run,
    "states": states.run,
    "projections": projections.run,
    "fields": fields.run,
    "migrations": migrations.run,
    "workbench": workbench.run,
    "growth": growth.run,
}


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000, help="in the log (default: 5,000,000)")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken (default: 3)")
    parser.add_argument("--only", choices=sorted(PARTS), action="append", help="this part (may be repeated)")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent / "data", help="for logs and benches")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    print(f"{given.events:,} events, {given.rounds} rounds; {machine()}")
    for name in given.only or PARTS:
        PARTS[name](given.folder, given.events, given.rounds)


if __name__ == "__main__":
    main()
