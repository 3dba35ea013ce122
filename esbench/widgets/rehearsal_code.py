"""The API calls that give a dry run and what the migration desk shows of it."""

from __future__ import annotations

from esbench.migrate.dry import DryRun
from esbench.widgets.code import Names, call
from esbench.widgets.rehearsal import Place

__all__ = ["looked", "made"]


def made(names: Names, log: str, called: str, plan: str, without: tuple[int, ...], place: Place) -> list[str]:
    """Lines that make a dry run, called so, of a migration without some of its steps."""
    lines = []
    if without:
        kept = f"[step for number, step in enumerate({plan}.steps, 1) if number not in {without!r}]"
        rest = f"gates={plan}.gates, idempotent={plan}.idempotent, note={plan}.note"
        fewer = names.new(f"{called}_plan")
        lines.append(f"{fewer} = {names.es}.Migration({plan}.name, {kept}, {rest})")
        plan = fewer
    options = {"sample": place.sample, "checks": None if place.checks else False}
    return [*lines, f"{called} = {call(f'{log}.dry_run', plan, **options)}"]


def looked(names: Names, called: str, place: Place, run: DryRun | None) -> list[str]:
    """Lines for what is looked at of a dry run."""
    if place.show == "states" and place.stream and run is not None:
        gates = [number for number, gate in enumerate(run.migration.gates) if hasattr(gate, "old")]
        if gates:
            gate = f"{called}.migration.gates[{gates[0]}]"
            before, after, stream = names.new("before"), names.new("after"), repr(place.stream)
            return [
                f"{before} = {names.es}.Log('before', {called}.result.source).state({gate}.old, {stream})",
                f"{after} = {names.es}.Log('after', {called}.events).state({gate}.new, {stream})",
                f"{before}, {after}",
            ]
    if place.show == "types":
        return [f"{names.es}.plots.migration_flow({called})"]
    verbs = {
        "events": f"{called}.changes.groups",
        "failures": f"{called}.failures",
        "steps": f"{called}.steps",
    }
    return [verbs.get(place.show, called)]
