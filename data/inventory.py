"""The warehouse: two users order at once, a delivery comes twice, and some lines of the export are damaged."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from recording import FIRST, LAST, RANGE, Draft, Recorder, instant, moments

__all__ = ["record"]

CLERKS = ("amelie.roth", "jonas.weber", "mira.oeztuerk", "paul.ahrens", "warehouse-app")
TWO_PLACES = "item-133"
LABELS = "2024-04-02"  # from this day on ItemsAdded (with a label code) and ItemsOrdered have schema version 2


def spoil(draft: Draft, damage: Callable[[str], str], story: str) -> None:
    """Let the event's line be damaged when it is written, so that it becomes a reject."""
    draft.damage, draft.damage_story = damage, story


def record() -> Recorder:
    """The log, event by event."""
    log = Recorder("inventory.jsonl", "InventoryItem", seed=123)
    shoppers = random.Random(7)  # its own, so that what else is drawn does not depend on it
    prices: dict[str, Decimal] = {}

    def note(when: datetime | str, item: str, name: str, data: dict[str, Any], **more: Any) -> Draft:
        when = instant(when) if isinstance(when, str) else when
        if name in ("ItemsAdded", "ItemsOrdered") and when >= instant(LABELS):
            more["schema"] = 2
        if name == "ItemsAdded":
            # an 18-digit label code does not survive a double
            code = 340_123_450_000_000_001 + 2 * log.random.randrange(10**9) if "schema" in more else None
            cost = Decimal(f"{log.random.randrange(1, 40)}.{log.random.randrange(10)}0")
            data = {**data, "unit_cost": cost, "sscc": code}
        if name == "ItemsOrdered" and "schema" in more:
            data = {**data, "channel": log.pick(("web", "shop", "phone"))}
        version = more.get("version", log.following[item])
        if name == "ItemsOrdered":
            customer = f"{FIRST[shoppers.randrange(len(FIRST))]} {LAST[shoppers.randrange(len(LAST))]}"
            data = {**data, "unit_price": prices[item], "customer_name": customer}
        if name in ("ItemsAdded", "ItemsOrdered"):
            # one item lies in two warehouses, and every other event of it is Leipzig's
            data = {**data, "warehouse": "leipzig" if item == TWO_PLACES and version % 2 else "hamburg"}
        user = more.pop("user", log.pick(CLERKS))
        correlation = f"req-{log.random.getrandbits(40):010x}"
        metadata = {"user": user, "correlation_id": correlation, "expected_version": version - 1}
        return log.add(when, item, name, data, metadata=metadata, **more)

    def create(when: datetime | str, item: str, product: tuple[str, str, str]) -> None:
        prices[item] = Decimal(product[2])
        note(when, item, "ItemCreated", {"sku": product[0], "name": product[1]})

    for number in range(100, 160):
        item, times = (
            f"item-{number}",
            moments(log.random, "2024-02-05", "2024-06-15", 4 + log.random.randrange(8)),
        )
        if number in (117, 123, 131, 142, 150):
            continue  # told below
        product = RANGE[number % len(RANGE)]
        create(times[0], item, product)
        quantity = 0
        for when in times[1:]:
            chance = log.random.random()
            if chance < 0.07:
                note(
                    when,
                    item,
                    "ItemRenamed",
                    {"name": f"{product[1]} ({log.pick(('new', 'sale', '2024', 'B-Ware'))})"},
                )
            elif quantity == 0 or chance < 0.35:
                amount = 2 + log.random.randrange(18)
                quantity += amount
                note(when, item, "ItemsAdded", {"quantity": amount})
            else:
                amount = 1 + log.random.randrange(min(quantity, 6))
                quantity -= amount
                note(when, item, "ItemsOrdered", {"quantity": amount})
        if number % 17 == 0:
            note(times[-1] + timedelta(days=3), item, "ItemRetired", {"reason": "no longer in the range"})

    # The last event of this item is taken for it, so that all others stay what they are.
    once, again = [draft for draft in log.drafts if draft.stream == "item-127"][-2:]
    again.version, again.event_id, again.schema = once.version, once.event_id, once.schema
    again.data, again.metadata = once.data, once.metadata
    log.plant(
        "duplicate-event",
        "the scanner at the gate sends a delivery twice: same id, same version, counted twice",
        once,
        again,
    )

    item = "item-123"
    create("2024-02-12T08:41:07.204", item, RANGE[4])
    note("2024-05-13T09:15:44.870", item, "ItemsAdded", {"quantity": 5}, user="paul.ahrens")
    orders = [
        note(
            "2024-05-14T14:02:07.311",
            item,
            "ItemsOrdered",
            {"quantity": 3},
            user=CLERKS[0],
            cause="cmd-7f3a90d1",
        ),
        note(
            "2024-05-14T14:02:07.498",
            item,
            "ItemsOrdered",
            {"quantity": 4},
            user=CLERKS[1],
            cause="cmd-7f3a90d4",
            version=3,
        ),
    ]
    log.plant(
        "version-fork",
        "two users order 3 and 4 of 5 at once: both expect version 2, both become version 3",
        *orders,
    )
    log.plant(
        "invariant-violated",
        "the fork takes 7 of 5: quantity -2, never recovered",
        orders[1],
        aggregate="inventory",
    )
    for order in orders:
        log.plant(
            "broken-causation",
            "the cause is a command of the checkout, which no log of events holds",
            order,
            info=True,
        )
    note("2024-05-16T10:20:31.055", item, "ItemRenamed", {"name": "Matcha bowl 抹茶茶碗, blue (last ones)"})

    item = "item-131"
    create("2024-03-04T10:02:51.117", item, RANGE[11])
    note("2024-03-05T09:30:00.412", item, "ItemsAdded", {"quantity": 12})
    photo = {"url": "https://media.example.org/ta-0310.jpg"}
    stray = note("2024-03-19T15:44:19.690", item, "ItemPhotoUploaded", photo, user="media-service")
    story = "the media service writes into the warehouse's stream; no handler knows its event"
    log.plant("unknown-event-type", story, stray, aggregate="inventory")
    note("2024-04-22T11:08:37.300", item, "ItemsOrdered", {"quantity": 4})

    item = "item-142"
    create("2024-02-20T08:12:45.000", item, RANGE[22])
    note("2024-02-21T09:00:10.250", item, "ItemsAdded", {"quantity": 30})
    note("2024-02-26T14:22:48.019", item, "ItemsOrdered", {"quantity": 5})
    note("2024-03-11T13:10:02.118", item, "ItemsOrdered", {"quantity": 4})
    note("2024-04-29T10:40:55.902", item, "ItemsAdded", {"quantity": 24})
    note("2024-05-07T15:31:20.667", item, "ItemsOrdered", {"quantity": 3})
    seven = note("2024-05-21T12:31:08.744", item, "ItemsOrdered", {"quantity": 6})
    spoil(seven, lambda line: line.replace('"version":7', '"version":"seven"'), 'a version of "seven"')
    log.plant("version-gap", 'version 7 sits in the rejects: its line says "seven"', seven, span=(7, 7))
    note("2024-05-28T09:05:59.031", item, "ItemsOrdered", {"quantity": 2})

    item = "item-150"
    create("2024-02-22T11:25:13.608", item, RANGE[29])
    note("2024-02-26T09:14:40.001", item, "ItemsAdded", {"quantity": 48})
    note("2024-02-28T16:03:22.575", item, "ItemsOrdered", {"quantity": 6})
    leap = note("2024-02-29T23:58:41.333", item, "ItemsOrdered", {"quantity": 3})
    spoil(leap, lambda line: line.replace("2024-02-29T", "2024-02-30T"), "recorded on 30 February")
    note("2024-03-14T10:11:09.946", item, "ItemsOrdered", {"quantity": 2})
    log.plant("version-gap", "version 4 sits in the rejects: it was recorded on 30 February", leap, span=(4, 4))

    item = "item-117"
    create("2024-02-13T13:37:02.480", item, RANGE[17])
    note("2024-02-15T08:55:27.064", item, "ItemsAdded", {"quantity": 25})
    last = note("2024-06-28T17:59:58.871", item, "ItemsOrdered", {"quantity": 2})
    spoil(last, lambda line: line[: line.index('"recorded_at"') + 22], "the export was cut off in the last line")
    log.plant("position-gap", "two positions inside the log belong to rejects", info=True)
    return log
