"""Record a log event by event, and remember what was planted in it: what the sample logs are made with."""

from __future__ import annotations

import json
import random
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, TypeVar

__all__ = [
    "CITIES",
    "FIRST",
    "LAST",
    "RANGE",
    "Draft",
    "Planted",
    "Recorder",
    "Rejected",
    "instant",
    "iso",
    "moments",
    "text",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Planted:
    """One finding that a check should have.

    `version` is the version at fault, and for `version-gap` and `missing-head` the first missing one, with
    `to_version` the last. `positions` are all the events concerned, ascending; empty where the log has no
    positions, or the event is not in it. A finding about the whole log has no stream. `info` marks what is
    worth a remark and no warning. `aggregate` names the object in aggregates.py whose rules are broken; it is
    empty for damage of structure.
    """

    file: str
    check: str
    stream_id: str | None
    version: int | None
    to_version: int | None
    positions: tuple[int, ...]
    story: str
    info: bool = False
    aggregate: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that cannot become an event: `line` counts from 1, `text` is the line as it stands."""

    file: str
    line: int
    text: str
    story: str


@dataclass(slots=True, eq=False)
class Draft:
    """An event before it has a position. `when` is its arrival, `shown` what the recorder's clock said."""

    when: datetime
    shown: datetime
    stream: str
    kind: str
    version: int
    name: str
    data: dict[str, Any]
    metadata: dict[str, Any]
    schema: int = 1
    event_id: str = ""
    cause: Draft | str | None = None
    occurred: datetime | None = None
    lost: bool = False
    damage: Callable[[str], str] | None = None
    damage_story: str = ""
    position: int = 0

    def all_metadata(self) -> dict[str, Any]:
        """The metadata with the cause: another event, or the id of a command."""
        if self.cause is None:
            return self.metadata
        cause = self.cause if isinstance(self.cause, str) else self.cause.event_id
        return {**self.metadata, "causation_id": cause}


@dataclass(slots=True)
class Recorder:
    """Collects the drafts of one log, numbers them, and remembers what was planted."""

    file: str
    kind: str
    seed: int
    base: int = 1
    random: random.Random = field(init=False)
    drafts: list[Draft] = field(default_factory=list)
    plans: list[tuple[Any, ...]] = field(default_factory=list)
    following: defaultdict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.following = defaultdict(lambda: self.base)

    def add(self, when: datetime | str, stream: str, name: str, data: dict[str, Any], **more: Any) -> Draft:
        """One more event of the stream, with its next version unless told; keywords are Draft's fields."""
        when = instant(when) if isinstance(when, str) else when
        version = more.pop("version", self.following[stream])
        self.following[stream] = max(self.following[stream], version + 1)
        more = {"kind": self.kind, "metadata": {}, "shown": when, **more}
        draft = Draft(when=when, stream=stream, version=version, name=name, data=data, **more)
        draft.event_id = draft.event_id or str(uuid.UUID(int=self.random.getrandbits(128), version=4))
        self.drafts.append(draft)
        return draft

    def pick(self, values: Sequence[T]) -> T:
        """One of the values, each as likely as the other."""
        return values[self.random.randrange(len(values))]

    def plant(self, check: str, story: str, *drafts: Draft, span: tuple[int, int] | None = None, **more: Any) -> None:
        """A finding on the last of the drafts; `span` gives missing versions instead."""
        self.plans.append((check, story, drafts, span, more))

    def arranged(self) -> list[Draft]:
        """What stands in the file, in recording order. What was lost on the way has used its position up."""
        self.drafts.sort(key=lambda draft: draft.when)
        for position, draft in enumerate(self.drafts, start=1):
            draft.position = position
        return [draft for draft in self.drafts if not draft.lost]

    def planted(self, *, positions: bool = True) -> Iterator[Planted]:
        """The truth, once the log is arranged; without positions for a file that does not carry them."""
        for check, story, drafts, span, more in self.plans:
            version, to_version = span or (drafts[-1].version if drafts else None, None)
            places = tuple(sorted(draft.position for draft in drafts)) if positions and not span else ()
            stream = drafts[-1].stream if drafts else None
            yield Planted(self.file, check, stream, version, to_version, places, story, **more)


def instant(text: str) -> datetime:
    """A moment in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def iso(when: datetime, *, hours: int = 0) -> str:
    """ISO 8601 in milliseconds, at an offset of whole hours (0 is written as Z)."""
    local = when.astimezone(timezone(timedelta(hours=hours))).isoformat(timespec="milliseconds")
    return local.replace("+00:00", "Z")


def text(value: Any, *, spaced: bool = False) -> str:
    """JSON, compact and in UTF-8 or as Python's json.dumps writes it; a Decimal keeps its digits (1.10)."""
    comma, colon = (", ", ": ") if spaced else (",", ":")
    if isinstance(value, dict):
        return "{" + comma.join(f'"{key}"{colon}{text(item, spaced=spaced)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + comma.join(text(item, spaced=spaced) for item in value) + "]"
    return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=spaced)


OFFICE = {hour: 0.35 + 0.65 * (9 <= hour <= 16) for hour in range(7, 19)}
VISITORS = (3, 2, 1, 1, 1, 2, 4, 7, 9, 10, 10, 11, 13, 12, 10, 10, 11, 13, 16, 19, 20, 18, 13, 7)  # by hour
EVENING = {hour: weight / 20 for hour, weight in enumerate(VISITORS)}
OFFICE_DAYS = (1, 1, 1, 1, 0.9, 0.15, 0)
SHOP_DAYS = (0.95, 0.8, 0.75, 0.75, 0.7, 0.8, 1)


def moments(rng: random.Random, start: str, end: str, count: int, *, shop: bool = False) -> list[datetime]:
    """So many moments between two dates, ascending, in the rhythm of an office or of a web shop."""
    hours, days = (EVENING, SHOP_DAYS) if shop else (OFFICE, OFFICE_DAYS)
    first, found = instant(start), set[datetime]()
    span = int((instant(end) - first).total_seconds() * 1000)
    while len(found) < count:
        when = first + timedelta(milliseconds=rng.randrange(span))
        if rng.random() < hours.get(when.hour, 0) * days[when.weekday()]:
            found.add(when)
    return sorted(found)


# sku, name, price in euro: the range of a tea shop in Hamburg
RANGE = [
    ("TP-0101", "Cast-iron teapot Kyoto 0.8 l", "64.90"), ("TP-0102", "Cast-iron teapot 1.2 l", "79.00"),
    ("TP-0110", "Kyusu side-handle pot 茶壺", "48.50"), ("TP-0120", "Glass teapot with strainer", "29.90"),
    ("TB-0201", "Matcha bowl 抹茶茶碗, blue", "34.00"), ("TB-0202", "Matcha bowl 抹茶茶碗, white", "34.00"),
    ("TB-0210", "Tasting cup, porcelain", "6.40"), ("TB-0211", "Crème brûlée dish, set of 4", "22.80"),
    ("TA-0301", "Bamboo whisk, 100 prongs", "18.90"), ("TA-0302", "Bamboo scoop", "7.50"),
    ("TA-0303", "Whisk holder", "9.90"), ("TA-0310", "Stainless strainer, fine", "8.20"),
    ("TA-0311", "Paper filters, 100 pcs", "4.10"), ("TA-0320", "Tea timer, three glasses", "14.50"),
    ("TA-0330", "Airtight tin 250 g", "11.10"), ("TA-0331", "Airtight tin 500 g", "13.90"),
    ("TE-0401", "Darjeeling First Flush 100 g", "16.80"), ("TE-0402", "Assam Mokalbari 250 g", "12.40"),
    ("TE-0403", "Sencha Uji 100 g", "14.90"), ("TE-0404", "Gyokuro Asahi 50 g", "27.50"),
    ("TE-0405", "Genmaicha 200 g", "10.20"), ("TE-0406", "Pu-erh cake 357 g", "38.00"),
    ("TE-0407", "Rooibos Vanille 250 g", "8.90"), ("TE-0408", "Ostfriesen-Mischung 500 g", "15.60"),
    ("TE-0409", "Jasmine pearls 100 g", "19.20"), ("TE-0410", "Earl Grey No. 7, 250 g", "11.90"),
    ("TS-0501", "Kandis, brown 500 g", "4.95"), ("TS-0502", "Lindenblütenhonig 500 g", "9.80"),
    ("TS-0503", "Shortbread fingers 160 g", "3.60"), ("TS-0504", "Yuzu jelly 120 g", "5.70"),
]  # fmt: skip
FIRST = (
    "Amélie", "Jonas", "Mira", "Søren", "Leyla", "Paweł", "Greta", "Hugo", "Inês", "Karl", "Nadia", "Ole",
    "Ruth", "Tomás", "Anja", "Bilal", "Clara", "Dmitri", "Eva", "Finn",
)  # fmt: skip
LAST = (
    "Roth", "Weber", "Lindqvist", "Öztürk", "Kowalski", "Brandt", "Martin", "Ferreira", "Hansen", "Okafor",
    "Petrov", "Schäfer", "Nguyen", "Dubois", "Ahrens", "Moreau", "Vogel", "Jansen", "Costa", "Meyer-Lund",
)  # fmt: skip
CITIES = (
    ("Hamburg", "DE"), ("Berlin", "DE"), ("Leipzig", "DE"), ("Köln", "DE"), ("Wien", "AT"), ("Graz", "AT"),
    ("Zürich", "CH"), ("Aarhus", "DK"), ("Utrecht", "NL"), ("Kraków", "PL"), ("Lyon", "FR"), ("Porto", "PT"),
)  # fmt: skip
