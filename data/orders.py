"""Half a year of a web shop: customers, orders and payments, and nothing wrong in them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from recording import CITIES, FIRST, LAST, RANGE, Draft, Recorder, instant, moments

__all__ = ["record"]

START, END = "2024-01-08", "2024-07-01"
CHANNELS = "2024-04-02"  # from this day on OrderPlaced has schema version 2 and names its channel
STREETS = (
    "Deichstraße",
    "Lange Reihe",
    "Am Kanal",
    "Gartenweg",
    "Sonnenallee",
    "Mühlenstraße",
    "Parkweg",
    "Alte Gasse",
)


def record() -> Recorder:
    """Every effect is recorded after its cause, and the log is cut at its end as an export would cut it."""
    log = Recorder("orders.jsonl.gz", "Order", seed=2024)
    rng = log.random
    customers: dict[int, list[Draft]] = {}
    homes: dict[int, dict[str, str]] = {}

    def later(when: datetime, **span: int) -> datetime:
        """At most so much later (hours=, minutes=), and by a second at least."""
        limit = int(timedelta(**span).total_seconds() * 1000)
        return when + timedelta(milliseconds=1000 + rng.randrange(limit))

    def at_work(when: datetime, *, first: int, last: int) -> datetime:
        """The moment itself, or the next one within these hours, Monday to Saturday."""
        while when.weekday() == 6 or not first <= when.hour < last:
            morning = when.replace(hour=first, minute=rng.randrange(60), second=rng.randrange(60))
            when = morning if when.hour < first and when.weekday() != 6 else morning + timedelta(days=1)
        return when

    def follow(cause: Draft, when: datetime, name: str, data: dict[str, Any], **more: Any) -> Draft:
        """An event that another one caused: in its stream unless told, in its workflow always."""
        more = {"stream": cause.stream, "kind": cause.kind, "metadata": cause.metadata, **more}
        return log.add(when, more.pop("stream"), name, data, cause=cause, **more)

    def register(number: int, before: datetime) -> None:
        name, city = f"{log.pick(FIRST)} {log.pick(LAST)}", log.pick(CITIES)
        email = f"{name[0].lower()}{number:04}@example.org"
        when = max(before - timedelta(milliseconds=150_000 + rng.randrange(2_400_000)), instant(START))
        stream, metadata = f"customer-{number:04}", {"correlation_id": f"signup-{number:04}", "user": "web"}
        homes[number] = {
            "street": f"{log.pick(STREETS)} {1 + rng.randrange(120)}",
            "city": city[0],
            "country": city[1],
        }
        data = {"name": name, "email": email, "address": homes[number]}
        first = log.add(when, stream, "CustomerRegistered", data, kind="Customer", metadata=metadata)
        customers[number] = [first]
        if rng.random() < 0.7:
            when += timedelta(seconds=20 + rng.randrange(120))
            customers[number].append(follow(first, when, "EmailConfirmed", {"email": email}))

    def settle(order: Draft, number: int) -> tuple[Draft | None, Draft | None]:
        """The payment of an order: the captured payment if it came to that, and the last refusal if not."""
        stream, due = f"payment-{number}", order.data["total"]
        more = {"stream": stream, "kind": "Payment"}
        method = log.pick(("card", "card", "paypal", "invoice"))
        asked = {"order": order.stream, "amount": due, "method": method}
        last = follow(order, later(order.when, minutes=1), "PaymentRequested", asked, **more)
        for attempt in (1, 2):
            when = later(last.when, minutes=1 if attempt == 1 else 30)
            if rng.random() < (0.94 if attempt == 1 else 0.6):
                last = follow(last, when, "PaymentAuthorized", {"attempt": attempt})
                return follow(last, later(last.when, minutes=3), "PaymentCaptured", {"amount": due}), None
            reason = log.pick(("insufficient funds", "3-D Secure failed", "card expired"))
            last = follow(last, when, "PaymentDeclined", {"attempt": attempt, "reason": reason})
        return None, last

    def refund(cause: Draft, payment: Draft) -> None:
        more = {"stream": payment.stream, "kind": "Payment"}
        follow(
            cause,
            later(cause.when, minutes=20),
            "PaymentRefunded",
            {"amount": payment.data["amount"]},
            **more,
        )

    def fulfil(paid: Draft, payment: Draft) -> None:
        if rng.random() < 0.02:
            cancelled = follow(
                paid, later(paid.when, minutes=50), "OrderCancelled", {"reason": "cancelled by customer"}
            )
            return refund(cancelled, payment)
        when = at_work(later(paid.when + timedelta(minutes=25), hours=5), first=6, last=16)
        packed = follow(paid, when, "OrderPacked", {"station": 1 + rng.randrange(4), "packer": log.pick(FIRST)})
        parcel = f"00340{rng.randrange(10**13):013}"
        shipped = follow(packed, later(when, minutes=170), "OrderShipped", {"parcel": parcel, "carrier": "Elbkurier"})
        when = at_work(later(shipped.when + timedelta(hours=14), hours=50), first=8, last=18)
        arrived = follow(shipped, when, "OrderDelivered", {"signed_by": log.pick(LAST)})
        if rng.random() < 0.05:
            reason = log.pick(("arrived broken", "changed my mind", "wrong colour"))
            when = at_work(later(when + timedelta(hours=30), hours=200), first=8, last=16)
            refund(follow(arrived, when, "OrderReturned", {"reason": reason}), payment)

    for number, when in enumerate(moments(rng, START, END, 3_300, shop=True), start=10_001):
        customer = int(1_300 * rng.random() ** 1.7)
        if customer not in customers:
            register(customer, when)
        lines: list[dict[str, Any]] = []
        total = Decimal(0)
        for _ in range(1 + rng.randrange(3)):
            sku, _, price = log.pick(RANGE)
            if sku not in [line["sku"] for line in lines]:
                quantity = 1 + rng.randrange(6) // 4
                lines.append({"sku": sku, "quantity": quantity, "unit_price": price})
                total += quantity * Decimal(price)
        data = {"customer": f"customer-{customer:04}", "lines": lines, "total": str(total), "currency": "EUR"}
        recent = when >= instant(CHANNELS)
        data |= {"channel": log.pick(("web", "web", "app", "phone"))} if recent else {}
        metadata = {"correlation_id": f"checkout-{number}", "user": data["customer"]}
        placed = log.add(when, f"order-{number}", "OrderPlaced", data, metadata=metadata, schema=1 + recent)
        payment, refusal = settle(placed, number)
        if payment:
            when = later(payment.when, minutes=1)
            paid = follow(payment, when, "OrderPaid", payment.data, stream=placed.stream, kind="Order")
            fulfil(paid, payment)
        elif refusal:
            when, reason = later(refusal.when + timedelta(hours=1), hours=1), {"reason": "not paid"}
            follow(refusal, when, "OrderCancelled", reason, stream=placed.stream, kind="Order")

    for number, history in customers.items():
        if rng.random() < 0.15:
            when = later(history[-1].when + timedelta(days=3), hours=24 * 90)
            address = {**homes[number], "street": f"{log.pick(STREETS)} {1 + rng.randrange(120)}"}
            metadata = {"correlation_id": f"profile-{number:04}", "user": history[0].stream}
            log.add(
                when,
                history[0].stream,
                "CustomerMoved",
                {"address": address},
                kind="Customer",
                metadata=metadata,
            )

    log.drafts = [draft for draft in log.drafts if draft.when < instant(END)]
    for draft in log.arranged():  # ids as MongoDB makes them: time, machine, counter
        draft.event_id = f"{int(draft.when.timestamp()):08x}9b1deb4d3b{0x00A000 + draft.position:06x}"
    return log
