"""One stream at a coordinate, and the state of every stream by Python handlers, against the peer's replay."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from uuid import UUID

import esbench as es
from benchmarks import logs
from benchmarks.measure import fresh, in_turn

__all__ = ["inventory", "run"]

inventory = es.Aggregate("InventoryItem", initial={"quantity": 0})


@inventory.on("ItemCreated")
def _create(state: dict[str, object], event: es.Event) -> dict[str, object]:
    return {**state, **event.data}


@inventory.on("ItemsAdded")
def _add(state: dict[str, int], event: es.Event) -> dict[str, int]:
    return {**state, "quantity": state["quantity"] + event.data["quantity"]}


@inventory.on("ItemsOrdered")
def _order(state: dict[str, int], event: es.Event) -> dict[str, int]:
    return {**state, "quantity": state["quantity"] - event.data["quantity"]}


def run(folder: Path, events: int, rounds: int) -> None:
    """A bench of that many events, and the peer's store with the events of its first thousand streams."""
    with es.open(fresh(folder / "states.duckdb")) as bench:
        log = bench.load(logs.compact(folder, events), "events")
        ids = log.streams()["stream_id"].sample(200, random_state=1).tolist()
        for title, one in (
            ("the events of one stream", lambda stream: log.events(stream, version=20)),
            ("the state of one stream", lambda stream: log.state(inventory, stream, version=20)),
        ):
            seconds: list[float] = []
            for stream in ids:
                start = time.perf_counter()
                one(stream)
                seconds.append(time.perf_counter() - start)
            middle, worst = statistics.median(seconds), statistics.quantiles(seconds, n=20)[-1]
            print(f"\n{title} at version 20  (target: under 10 ms)")
            print(f"  median {middle * 1000:.1f} ms, 95th percentile {worst * 1000:.1f} ms, of {events:,} events")

        replay, count = _peer(log)
        peer, single, double = "eventsourcing repository.get", "log.states, one process", "log.states, two processes"
        with ProcessPoolExecutor(2) as executor:
            log.states(inventory, executor=executor)  # its processes start and import
            candidates: dict[str, Callable[[], object]] = {
                peer: replay,
                single: lambda: log.states(inventory),
                double: lambda: log.states(inventory, executor=executor),
            }
            medians = in_turn(candidates, rounds=rounds)
        print("\nstates with Python handlers, 3 event types with a handler  (target: at least 25 x the peer's rate)")
        for name, rate in {
            name: (count if name == peer else events) / each.wall for name, each in medians.items()
        }.items():
            ratio = rate * medians[peer].wall / count
            print(f"  {name:44} {medians[name].wall:8.3f} s  {rate:12,.0f} events/s  {ratio:6.1f} x", flush=True)


def _peer(log: es.Log, streams: int = 200) -> tuple[Callable[[], None], int]:
    """The same events of the first streams in the peer's own store, in memory, and a function that replays them all."""
    from eventsourcing.application import Application
    from eventsourcing.domain import Aggregate, event

    class Item(Aggregate):
        def __init__(self, stream: str, name: str, price: float) -> None:
            self.stream, self.name, self.price, self.quantity = stream, name, price, 5

        @event("ItemsAdded")
        def add(self, quantity: int, warehouse: str) -> None:
            self.quantity += quantity

        @event("ItemsOrdered")
        def order(self, quantity: int, order_id: str, customer: dict[str, str]) -> None:
            self.quantity -= quantity

        @event("PriceChanged")
        def reprice(self, price: float, currency: str) -> None:
            self.price = price

        @event("ItemRenamed")
        def rename(self, name: str) -> None:
            self.name = name

    application = Application[UUID]()
    methods = {"ItemsAdded": "add", "ItemsOrdered": "order", "PriceChanged": "reprice", "ItemRenamed": "rename"}
    ids, count = [], 0
    for stream in log.streams()["stream_id"].head(streams):
        item = None
        for found in log.source.stream(stream):
            count += 1
            if item is None:
                item = Item(stream, found.data["name"], found.data["price"])
            else:
                getattr(item, methods[found.event_type])(**found.data)
        assert item is not None
        application.save(item)
        ids.append(item.id)

    def replay() -> None:
        for identity in ids:
            application.repository.get(identity)

    return replay, count
