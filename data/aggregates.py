"""The aggregates of the sample logs: how their events become state, and what must always hold.

    esbench check data/inventory.jsonl --aggregate data/aggregates.py:inventory

| object | covers | begins with | ends with | always |
|---|---|---|---|---|
| `inventory` | InventoryItem | ItemCreated | ItemRetired | stock is never negative |
| `product` | Product | ProductListed | | 0 <= reserved <= on hand |
| `account` | BankAccount | AccountOpened | AccountClosed | the balance is never negative |
| `shipment` | Shipment | ShipmentBooked | DeliveryConfirmed or a cancellation | a delivery had a pickup |
| `order` | Order | OrderPlaced | OrderCancelled, OrderReturned | nothing is paid beyond the total |

Handlers are pure: a state and an event in, a new state out. Money is `Decimal`, made from the payload's text.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import esbench as es

__all__ = ["account", "inventory", "order", "product", "shipment"]

State = dict[str, Any]


inventory = es.Aggregate("InventoryItem", initial={"name": None, "quantity": 0, "status": "unknown"})
inventory.lifecycle(first=["ItemCreated"], final=["ItemRetired"])


@inventory.on("ItemCreated")
def create_item(state: State, event: es.Event) -> State:
    """An item without stock."""
    return {**state, "name": event.data["name"], "status": "active"}


@inventory.on("ItemRenamed")
def rename_item(state: State, event: es.Event) -> State:
    """The last name counts."""
    return {**state, "name": event.data["name"]}


@inventory.on("ItemsAdded")
def add_items(state: State, event: es.Event) -> State:
    """A delivery; schema versions 1 and 2 have the quantity in the same place."""
    return {**state, "quantity": state["quantity"] + event.data["quantity"]}


@inventory.on("ItemsOrdered")
def order_items(state: State, event: es.Event) -> State:
    """The writer has checked that there is enough: a log in which there was not is corrupted."""
    return {**state, "quantity": state["quantity"] - event.data["quantity"]}


@inventory.on("ItemRetired")
def retire_item(state: State, event: es.Event) -> State:
    """What is left in stock is sold elsewhere."""
    return {**state, "status": "retired"}


@inventory.invariant("stock is never negative")
def stock_not_negative(state: State) -> bool:
    """Nobody can order what is not there."""
    return bool(state["quantity"] >= 0)


product = es.Aggregate("Product", initial={"name": None, "price": None, "on_hand": 0, "reserved": 0})
product.lifecycle(first=["ProductListed"])


@product.on("ProductListed")
def list_product(state: State, event: es.Event) -> State:
    """A product in the shop, not yet in the warehouse."""
    return {**state, "name": event.data["name"], "price": Decimal(event.data["price"]["amount"])}


@product.on("StockReceived")
def receive_stock(state: State, event: es.Event) -> State:
    """More on hand."""
    return {**state, "on_hand": state["on_hand"] + event.data["quantity"]}


@product.on("StockReserved")
def reserve_stock(state: State, event: es.Event) -> State:
    """Still on hand, but promised to an order."""
    return {**state, "reserved": state["reserved"] + event.data["quantity"]}


@product.on("ReservationReleased", "ReservedStockPatched")
def release_stock(state: State, event: es.Event) -> State:
    """The promise is taken back: by the shop, or by the script that meant to repair lost releases."""
    return {**state, "reserved": state["reserved"] - event.data["quantity"]}


@product.on("StockShipped")
def ship_stock(state: State, event: es.Event) -> State:
    """What was promised leaves the house."""
    quantity = event.data["quantity"]
    return {**state, "on_hand": state["on_hand"] - quantity, "reserved": state["reserved"] - quantity}


@product.invariant("reserved stock is never negative")
def reserved_not_negative(state: State) -> bool:
    """Nobody can take back a promise that was not given."""
    return bool(state["reserved"] >= 0)


@product.invariant("no more is reserved than is on hand")
def reserved_is_on_hand(state: State) -> bool:
    """The shop promises only what it has."""
    return bool(state["reserved"] <= state["on_hand"])


account = es.Aggregate("BankAccount", initial={"owner": None, "status": "unknown", "balance": Decimal(0)})
account.lifecycle(
    first=["AccountOpened"],
    transitions={
        "AccountOpened": ["MoneyDeposited", "AccountClosed"],
        "MoneyDeposited": ["MoneyDeposited", "MoneyWithdrawn", "AccountClosed"],
        "MoneyWithdrawn": ["MoneyDeposited", "MoneyWithdrawn", "AccountClosed"],
    },
    final=["AccountClosed"],
)


@account.on("AccountOpened")
def open_account(state: State, event: es.Event) -> State:
    """An empty account."""
    return {**state, "owner": event.data["owner"], "status": "open"}


@account.on("MoneyDeposited")
def deposit_money(state: State, event: es.Event) -> State:
    """An amount is a text such as "12.10"."""
    return {**state, "balance": state["balance"] + Decimal(event.data["amount"])}


@account.on("MoneyWithdrawn")
def withdraw_money(state: State, event: es.Event) -> State:
    """The bank gives no credit."""
    return {**state, "balance": state["balance"] - Decimal(event.data["amount"])}


@account.on("AccountClosed")
def close_account(state: State, event: es.Event) -> State:
    """Nothing may follow."""
    return {**state, "status": "closed"}


@account.invariant("the balance is never negative")
def balance_not_negative(state: State) -> bool:
    """The bank gives no credit."""
    return bool(state["balance"] >= 0)


NOT_BOOKED = {"status": "unknown", "to": None, "hub": None, "picked_up": False, "signed_by": None}
shipment = es.Aggregate("Shipment", initial=NOT_BOOKED)
shipment.lifecycle(
    first=["ShipmentBooked"],
    transitions={
        "ShipmentBooked": ["PickedUp", "ShipmentCancelled"],
        "PickedUp": ["InTransit", "Delivered"],  # within the city a courier goes straight to the door
        "InTransit": ["InTransit", "Delivered"],
        "Delivered": ["DeliveryConfirmed"],
    },
    final=["DeliveryConfirmed", "ShipmentCancelled"],
)


@shipment.on("ShipmentBooked")
def book_shipment(state: State, event: es.Event) -> State:
    """A label exists; the parcel is still in the shop."""
    return {**state, "status": "booked", "to": event.data["to"]}


@shipment.on("PickedUp")
def pick_up(state: State, event: es.Event) -> State:
    """The courier has the parcel."""
    return {**state, "status": "picked up", "picked_up": True, "hub": event.data["depot"]}


@shipment.on("InTransit")
def pass_hub(state: State, event: es.Event) -> State:
    """The parcel was scanned at a hub."""
    return {**state, "status": "in transit", "hub": event.data["hub"]}


@shipment.on("Delivered")
def deliver(state: State, event: es.Event) -> State:
    """Someone has signed."""
    return {**state, "status": "delivered", "signed_by": event.data["signed_by"]}


@shipment.on("DeliveryConfirmed")
def confirm_delivery(state: State, event: es.Event) -> State:
    """The proof of delivery is filed."""
    return {**state, "status": "confirmed"}


@shipment.on("ShipmentCancelled")
def cancel_shipment(state: State, event: es.Event) -> State:
    """Before the pickup only."""
    return {**state, "status": "cancelled"}


@shipment.invariant("a delivery had a pickup")
def delivery_had_pickup(state: State) -> bool:
    """A signature needs a parcel."""
    return bool(state["signed_by"] is None or state["picked_up"])


NOT_PLACED = {"status": "unknown", "customer": None, "total": Decimal(0), "paid": Decimal(0), "parcel": None}
order = es.Aggregate("Order", initial=NOT_PLACED)
order.lifecycle(
    first=["OrderPlaced"],
    transitions={
        "OrderPlaced": ["OrderPaid", "OrderCancelled"],
        "OrderPaid": ["OrderPacked", "OrderCancelled"],
        "OrderPacked": ["OrderShipped"],
        "OrderShipped": ["OrderDelivered"],
        "OrderDelivered": ["OrderReturned"],
    },
    final=["OrderCancelled", "OrderReturned"],
)


@order.on("OrderPlaced")
def place_order(state: State, event: es.Event) -> State:
    """Schema version 2 adds the channel, which the state does not need."""
    data = event.data
    return {**state, "status": "placed", "customer": data["customer"], "total": Decimal(data["total"])}


@order.on("OrderPaid")
def pay_order(state: State, event: es.Event) -> State:
    """The payment was captured."""
    return {**state, "status": "paid", "paid": state["paid"] + Decimal(event.data["amount"])}


@order.on("OrderPacked", "OrderDelivered", "OrderCancelled", "OrderReturned")
def move_order(state: State, event: es.Event) -> State:
    """These change the status and nothing else."""
    return {**state, "status": event.event_type.removeprefix("Order").lower()}


@order.on("OrderShipped")
def ship_order(state: State, event: es.Event) -> State:
    """The parcel has a number now."""
    return {**state, "status": "shipped", "parcel": event.data["parcel"]}


@order.invariant("nothing is paid beyond the total")
def paid_within_total(state: State) -> bool:
    """A refund is the payment's business."""
    return bool(state["paid"] <= state["total"])
