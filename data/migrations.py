"""Migrations of the sample logs, as one would review them: the tea shop's inventory goes to its second version.

    esbench migrate data/migrations.py:inventory_v2 data/inventory.jsonl

What changes, and why:

- An order becomes a reservation: `ItemsOrdered` is called `ItemsReserved`, says the currency of its price, and has its
  customer as an object. Upcasters do that, so the same functions serve on read: `log.upcasted(UPCASTERS)`.
- The delivery that the scanner sent twice (item-127) counts once. That changes a state, from 22 to 11 in stock and
  nowhere else, and the gate is told so.
- The two orders that share version 3 of item-123 follow each other. Both did happen, so the stock stays at -2: who
  gets no bowl is for the shop to decide, in an event of its own, and not for a change of schema.
- item-133 lies in two warehouses and becomes two streams. Leipzig's needs an event that creates it.
"""

from __future__ import annotations

from typing import Any

import esbench as es
from aggregates import inventory

__all__ = ["UPCASTERS", "inventory_v2", "item_v2"]

State = dict[str, Any]

item_v2 = es.Aggregate(
    "InventoryItemV2",
    stream_type="InventoryItem",
    initial={"name": None, "quantity": 0, "status": "unknown", "currency": "EUR"},
)
item_v2.lifecycle(first=["ItemCreated"], final=["ItemRetired"])


@item_v2.on("ItemCreated")
def create_item(state: State, event: es.Event) -> State:
    return {**state, "name": event.data["name"], "status": "active"}


@item_v2.on("ItemRenamed")
def rename_item(state: State, event: es.Event) -> State:
    return {**state, "name": event.data["name"]}


@item_v2.on("ItemsAdded")
def add_items(state: State, event: es.Event) -> State:
    return {**state, "quantity": state["quantity"] + event.data["quantity"]}


@item_v2.on("ItemsReserved")
def reserve_items(state: State, event: es.Event) -> State:
    return {**state, "quantity": state["quantity"] - event.data["quantity"], "currency": event.data["currency"]}


@item_v2.on("ItemRetired")
def retire_item(state: State, event: es.Event) -> State:
    return {**state, "status": "retired"}


@item_v2.invariant("stock is never negative")
def stock_not_negative(state: State) -> bool:
    return bool(state["quantity"] >= 0)


def with_channel(data: dict[str, Any]) -> dict[str, Any]:
    """Schema version 2: where the order came from, which nobody wrote down before."""
    return {**data, "channel": None}


def with_currency(data: dict[str, Any]) -> dict[str, Any]:
    """Schema version 3: the price says its currency, and the customer is an object, which can grow."""
    kept = {name: value for name, value in data.items() if name != "customer_name"}
    return {**kept, "currency": "EUR", "customer": {"name": data["customer_name"]}}


UPCASTERS = [
    es.upcast("ItemsOrdered", 1, 2, with_channel),
    es.upcast("ItemsOrdered", 2, 3, with_currency),
]


def together(states: dict[str, State]) -> State:
    """What the streams of one item say in sum: the first tells its name, the stock adds up."""
    first = next(iter(states.values()))
    return {**first, "quantity": sum(state["quantity"] for state in states.values())}


inventory_v2 = es.Migration(
    "inventory-v2",
    [
        *UPCASTERS,
        es.rename_type("ItemsOrdered", "ItemsReserved"),
        es.drop_duplicates(streams="item-127"),
        es.renumber(streams="item-123"),
        es.split_stream("item-133", "nullif(data->>'/warehouse', 'hamburg')"),
        es.insert_before(
            "ItemsAdded",
            "ItemCreated",
            {"sku": "TA-0320", "name": "Tea timer, three glasses"},
            schema_version=1,
            streams="item-133-leipzig",
            where="version = 1",
        ),
    ],
    gates=[
        es.same_state(
            inventory,
            item_v2,
            expect={"/currency": es.added("EUR"), "/quantity": es.changed(22, 11)},
            combine=together,
        ),
    ],
    note="The shop's second version: orders become reservations. See the top of data/migrations.py.",
)
