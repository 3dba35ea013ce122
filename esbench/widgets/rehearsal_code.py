"""The API calls that give a dry run and what the migration desk shows of it."""

from __future__ import annotations

from esbench.migrate.dry import DryRun
from esbench.widgets.code import call
from esbench.widgets.rehearsal import Place

__all__ = ["looked", "made"]


def made(log: str, called: str, plan: str, without: tuple[int, ...], place: Place) -> list[str]:
    """Lines that make a dry run, called so, of a migration without some of its steps."""
    lines = []
    if without:
        kept = f"[step for number, step in enumerate({plan}.steps, 1) if number not in {without!r}]"
        rest = f"gates={plan}.gates, idempotent={plan}.idempotent, note={plan}.note"
        lines.append(f"{called}_plan = es.Migration({plan}.name, {kept}, {rest})")
        plan = f"{called}_plan"
    options = {"sample": place.sample, "checks": None if place.checks else False}
    return [*lines, f"{called} = {call(f'{log}.dry_run', plan, **options)}"]


def looked(called: str, place: Place, run: DryRun | None) -> list[str]:
    """Lines for what is looked at of a dry run."""
    if place.show == "states" and place.stream and run is not None:
        gates = [number for number, gate in enumerate(run.migration.gates) if hasattr(gate, "old")]
        if gates:
            gate = f"{called}.migration.gates[{gates[0]}]"
            return [
                f"before = es.Log('before', {called}.result.source).state({gate}.old, {place.stream!r})",
                f"after = es.Log('after', {called}.events).state({gate}.new, {place.stream!r})",
                "before, after",
            ]
    verbs = {
        "events": f"{called}.changes.groups",
        "types": f"es.plots.migration_flow({called})",
        "failures": f"{called}.failures",
        "steps": f"{called}.steps",
    }
    return [verbs.get(place.show, called)]
