"""A parcel service: scans out of order, a slow clock, causes that cannot be."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from recording import CITIES, FIRST, LAST, Draft, Recorder, instant, moments

__all__ = ["record"]

HUBS = ("Hamburg-Billbrook", "Hannover-Langenhagen", "Leipzig-Schkeuditz", "Köln-Eifeltor", "Nürnberg-Hafen",
        "Wien-Inzersdorf", "Lyon-Corbas")  # fmt: skip


def record() -> Recorder:
    """The log, event by event."""
    log = Recorder("shipments.jsonl", "Shipment", seed=70)

    def note(when: datetime | str, shipment: str, name: str, data: dict[str, Any], **more: Any) -> Draft:
        """An event whose scan happened some minutes (and always some seconds) before it was recorded."""
        when = instant(when) if isinstance(when, str) else when
        scanned = when - timedelta(minutes=more.pop("minutes", 0), milliseconds=900 + log.random.randrange(40_000))
        metadata = {"source": more.pop("source", "scanner"), "correlation_id": f"order-{shipment[-5:]}"}
        return log.add(when, shipment, name, data, metadata=metadata, occurred=scanned, **more)

    def booked(when: datetime | str, shipment: str) -> Draft:
        weight = Decimal(log.random.randrange(30, 1200)).scaleb(-2)
        carrier = log.pick(("Elbkurier", "NordPaket"))
        data = {"from": "Hamburg", "to": log.pick(CITIES)[0], "weight_kg": weight, "carrier": carrier}
        return note(when, shipment, "ShipmentBooked", data, source="shop")

    def picked_up(when: datetime | str, shipment: str, **more: Any) -> Draft:
        return note(when, shipment, "PickedUp", {"courier": log.pick(FIRST), "depot": HUBS[0]}, **more)

    def in_transit(when: datetime | str, shipment: str, hub: str, **more: Any) -> Draft:
        return note(when, shipment, "InTransit", {"hub": hub}, **more)

    def delivered(when: datetime | str, shipment: str, **more: Any) -> Draft:
        return note(when, shipment, "Delivered", {"signed_by": log.pick(LAST)}, **more)

    def confirmed(when: datetime, cause: Draft) -> Draft:
        return note(
            when,
            cause.stream,
            "DeliveryConfirmed",
            {"proof": f"pod/{cause.stream[-5:]}.jpg"},
            source="shop",
            cause=cause,
        )

    for number in range(70_001, 70_081):
        shipment, (when, *_) = f"shipment-{number}", moments(log.random, "2024-04-08", "2024-06-07", 3)
        if number in (70_012, 70_019, 70_026, 70_033, 70_034, 70_041, 70_048):
            continue  # told below
        booking = booked(when, shipment)
        if log.random.random() < 0.05:
            when += timedelta(hours=2, minutes=number % 50)
            note(when, shipment, "ShipmentCancelled", {"reason": "order cancelled"}, source="shop")
            continue
        when += timedelta(minutes=90 + log.random.randrange(240), milliseconds=log.random.randrange(60_000))
        picked_up(when, shipment, cause=booking)
        start = log.random.randrange(len(HUBS))
        for step in range(log.random.randrange(4)):
            when += timedelta(minutes=200 + log.random.randrange(500), milliseconds=log.random.randrange(60_000))
            in_transit(when, shipment, HUBS[(start + step) % len(HUBS)])
        when += timedelta(minutes=150 + log.random.randrange(900), milliseconds=log.random.randrange(60_000))
        delivery = delivered(when, shipment)
        if log.random.random() < 0.8:
            confirmed(when + timedelta(minutes=1 + log.random.randrange(30)), delivery)

    shipment = "shipment-70012"
    booked("2024-04-15T09:02:11.480", shipment)
    picked_up("2024-04-15T12:30:40.117", shipment)
    delivered("2024-04-17T10:21:09.655", shipment)
    hub = in_transit("2024-04-17T13:48:02.290", shipment, HUBS[3], minutes=1_630)
    log.plant(
        "forbidden-transition",
        "a hub's scanner was offline: in transit is recorded after delivered",
        hub,
        aggregate="shipment",
    )

    shipment = "shipment-70019"
    booked("2024-04-22T08:40:29.334", shipment)
    in_transit("2024-04-22T17:05:50.902", shipment, HUBS[1], version=3)
    early = picked_up("2024-04-22T17:46:13.048", shipment, minutes=300, version=2)
    log.plant(
        "order-inversion",
        "two partitions, replayed at two speeds: version 3 is recorded before version 2",
        early,
    )
    delivered("2024-04-23T11:15:36.721", shipment)

    shipment = "shipment-70026"
    booked("2024-05-06T09:30:45.260", shipment)
    picked_up("2024-05-06T13:40:10.518", shipment)
    slow = in_transit("2024-05-06T14:05:31.907", shipment, HUBS[0], shown=instant("2024-05-06T13:05:31.907"))
    log.plant("clock-regression", "a node that came back without its time server is an hour slow", slow)
    delivered("2024-05-07T12:20:27.366", shipment)

    out, back = (
        booked("2024-05-13T10:00:02.150", "shipment-70033"),
        booked("2024-05-13T10:00:02.170", "shipment-70034"),
    )
    out.cause, back.cause = back, out
    log.plant("broken-causation", "split parcels: each booking names the other one as its cause, a cycle", back, out)
    picked_up("2024-05-13T15:22:51.404", "shipment-70033")
    picked_up("2024-05-13T15:23:07.839", "shipment-70034")

    shipment = "shipment-70041"
    booked("2024-05-21T08:15:33.071", shipment)
    pickup = picked_up("2024-05-21T11:02:18.590", shipment)
    round_trip = delivered("2024-05-21T16:44:59.213", shipment)
    pickup.cause = round_trip
    log.plant(
        "broken-causation",
        "the pickup names the delivery, recorded over five hours later, as its cause",
        pickup,
    )

    shipment = "shipment-70048"
    booked("2024-05-27T09:51:04.887", shipment)
    picked_up("2024-05-27T14:10:26.025", shipment)
    parcel = in_transit("2024-05-28T02:37:48.560", shipment, HUBS[2], kind="Parcel")
    log.plant("stream-type-mixed", "the new hub's software still calls the shipment a Parcel", parcel)
    delivered("2024-05-28T15:30:12.943", shipment)
    return log
