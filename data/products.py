"""The web shop's reservations: a data patch subtracts more than is reserved."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from recording import RANGE, Draft, Recorder, moments

__all__ = ["record"]

PATCH = {"user": "ops", "script": "fix_reserved.py", "correlation_id": "OPS-2291"}


def record() -> Recorder:
    """The log, event by event."""
    log = Recorder("products.jsonl", "Product", seed=17, base=0)

    def note(when: datetime | str, product: str, name: str, data: dict[str, Any]) -> Draft:
        user = "backoffice" if name in ("ProductListed", "StockReceived") else "checkout"
        metadata = {"user": user, "correlation_id": f"req-{log.random.getrandbits(40):010x}"}
        return log.add(when, product, name, data, metadata=metadata)

    def listed(when: datetime | str, product: str, number: int) -> None:
        sku, name, price = RANGE[number % len(RANGE)]
        note(
            when,
            product,
            "ProductListed",
            {"sku": sku, "name": name, "price": {"amount": price, "currency": "EUR"}},
        )

    def patch(when: str, product: str, quantity: int) -> Draft:
        data = {"product": product, "quantity": quantity, "ticket": "OPS-2291"}
        return log.add(when, product, "ReservedStockPatched", data, metadata=PATCH)

    order = 48_100
    for number in range(1, 41):
        product, stuck = f"product-{number:03}", number in (6, 31)
        end = "2024-02-12" if stuck else "2024-03-29"
        times = moments(log.random, "2024-01-08", end, 8 + log.random.randrange(10), shop=True)
        if number in (17, 23):
            continue  # told below
        listed(times[0], product, number)
        note(
            times[0] + timedelta(minutes=9),
            product,
            "StockReceived",
            {"quantity": 20 + 5 * log.random.randrange(9)},
        )
        received, reserved = 20, dict[str, int]()
        for when in times[1:]:
            if reserved and log.random.random() < 0.5:
                name = log.pick(sorted(reserved))
                quantity = reserved.pop(name)
                if log.random.random() < 0.8:
                    received -= quantity
                    note(when, product, "StockShipped", {"order": name, "quantity": quantity})
                else:
                    reason = log.pick(("payment expired", "cancelled by customer"))
                    note(
                        when,
                        product,
                        "ReservationReleased",
                        {"order": name, "quantity": quantity, "reason": reason},
                    )
            elif received - sum(reserved.values()) < 4:
                received += 30
                note(when, product, "StockReceived", {"quantity": 30})
            else:
                order += 1 + log.random.randrange(40)
                reserved[f"order-{order}"] = 1 + log.random.randrange(4)
                note(
                    when,
                    product,
                    "StockReserved",
                    {"order": f"order-{order}", "quantity": reserved[f"order-{order}"]},
                )
        if stuck:  # a release was lost: the reservation stands until the patch, and the patch is right
            note(
                "2024-02-12T18:22:05.118",
                product,
                "StockReserved",
                {"order": f"order-{order + 7}", "quantity": 2},
            )
            patch(f"2024-02-20T23:30:{number:02}.400", product, 2)

    product = "product-017"
    listed("2024-01-09T10:12:30.551", product, 17)
    note("2024-01-09T10:31:02.970", product, "StockReceived", {"quantity": 40})
    note("2024-02-18T20:15:44.106", product, "StockReserved", {"order": "order-48771", "quantity": 4})
    note("2024-02-19T09:47:13.872", product, "StockReserved", {"order": "order-48790", "quantity": 2})
    note(
        "2024-02-20T21:03:55.260",
        product,
        "ReservationReleased",
        {"order": "order-48771", "quantity": 4, "reason": "payment expired"},
    )
    bad = patch("2024-02-20T23:30:17.400", product, 6)
    story = "the patch trusts a stale read model: 6 from 2 reserved is -4; from version 7 on it looks well"
    log.plant("invariant-violated", story, bad, aggregate="product")
    note("2024-02-21T08:05:20.733", product, "StockReserved", {"order": "order-48848", "quantity": 3})
    note("2024-02-22T19:31:09.015", product, "StockReserved", {"order": "order-48901", "quantity": 5})
    note("2024-02-23T11:40:37.428", product, "StockShipped", {"order": "order-48848", "quantity": 3})
    note("2024-03-03T20:18:51.694", product, "StockReserved", {"order": "order-49310", "quantity": 4})

    product = "product-023"
    listed("2024-01-10T14:20:11.337", product, 23)
    note("2024-01-10T14:41:56.802", product, "StockReceived", {"quantity": 25})
    note("2024-02-13T17:09:48.215", product, "StockReserved", {"order": "order-48512", "quantity": 3})
    first = patch("2024-02-20T23:30:23.400", product, 3)
    again = patch("2024-02-20T23:33:41.052", product, 3)
    log.plant("repeated-content", "the script was started a second time for this product", first, again, info=True)
    log.plant(
        "invariant-violated",
        "the second run subtracts 3 from nothing: -3, never recovered",
        again,
        aggregate="product",
    )
    note("2024-03-05T09:26:14.580", product, "StockReceived", {"quantity": 20})
    return log
