"""A migration: applied against a bare copy of the table, its dry run against that, and the proof of the states."""

from __future__ import annotations

from pathlib import Path

import esbench as es
from benchmarks import logs
from benchmarks.measure import fresh, in_turn, report
from benchmarks.states import inventory

__all__ = ["run"]

declarative = es.Migration(
    "declarative",
    [
        es.rename_type("ItemsOrdered", "ItemsReserved"),
        es.add_field("/currency", "EUR", type="ItemsReserved"),
        es.rename_field("/name", "title", type="ItemCreated"),
    ],
)
dropping = es.Migration("dropping", [*declarative.steps, es.drop_events("PriceChanged")])
upcasters = [
    es.upcast("ItemsOrdered", 1, 2, lambda data: {**data, "currency": "EUR"}),
    es.upcast("PriceChanged", 1, 2, lambda data: {**data, "vat": 19}),
]
lifted = es.Migration("lifted", upcasters)
renamed = es.Aggregate("InventoryItem", initial={"quantity": 0})
for _name, _handler in inventory.handlers.items():
    renamed.on("ItemsReserved" if _name == "ItemsOrdered" else _name)(_handler)


def run(folder: Path, events: int, rounds: int) -> None:
    """A bench of that many events in a file; what is made is dropped again after each run."""
    with es.open(fresh(folder / "migrations.duckdb")) as bench:
        log = bench.load(logs.compact(folder, events), "events")

        def bare() -> None:
            bench.con.execute("create table bare as select * from log.events")
            bench.con.execute("drop table bare")

        def applied(ran: es.DryRun) -> None:
            bench.apply(ran, "migrated")
            bench.drop("migrated")

        runs = {plan.name: log.dry_run(plan) for plan in (declarative, dropping, lifted)}
        medians = in_turn(
            {
                "bare copy, in the same order": bare,
                "apply, three declarative steps": lambda: applied(runs["declarative"]),
                "apply, one of them drops events": lambda: applied(runs["dropping"]),
            },
            rounds=rounds,
        )
        report("apply", medians, against="bare copy, in the same order", target="1.5 x", events=events)
        medians = in_turn(
            {
                "apply": lambda: applied(runs["declarative"]),
                "dry run, with counts and gates": lambda: log.dry_run(declarative),
                "the same, without findings": lambda: log.dry_run(declarative, checks=False),
            },
            rounds=rounds,
        )
        report("dry run, three declarative steps", medians, against="apply", target="1.5 x", events=events)

        kinds = log.types()
        lifts = int(kinds.loc[kinds["event_type"].isin(["ItemsOrdered", "PriceChanged"]), "events"].sum())
        view = log.upcasted(upcasters)
        text = "select sum(length(data::varchar)) from events"
        medians = in_turn(
            {"read as it is": lambda: log.sql(text), "read through upcasters": lambda: view.sql(text)}, rounds=rounds
        )
        report("Python upcasters", medians, against="read as it is", target="300,000 lifted a second a core")
        cost = medians["read through upcasters"].cpu - medians["read as it is"].cpu
        print(f"  {lifts:,} of {events:,} events lifted: {lifts / cost:,.0f} a CPU second")

        gate = es.same_state(inventory, renamed)
        proved = es.Migration("proved", declarative.steps[:1], gates=[gate])
        seen = log.dry_run(proved, checks=False)
        plain = es.Migration("plain", declarative.steps[:1])

        def folds() -> None:
            log.states(inventory)
            log.states(inventory)

        medians = in_turn(
            {
                "the two folds": folds,
                "dry run without the gate": lambda: log.dry_run(plain, checks=False),
                "dry run with it": lambda: log.dry_run(proved, checks=False),
            },
            rounds=rounds,
        )
        report("state equivalence", medians, against="the two folds", target="3 x", events=events)
        print(f"  {next(each for each in seen.gates if each.name == gate.name).text}")
