"""Steps that take out what nobody may read any more: mask, redact, pseudonymise, forget.

Text that is deleted survives in the free pages of a bench; so a migration with one of these goes into a file of its
own, ``bench.apply(run, name=…, to="private.duckdb")``, in which the values that were replaced are then looked for. What
a step says of itself, and what is kept of it, holds neither a key nor a value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from esbench import payload
from esbench.facts import Facts
from esbench.migrate.step import MigrationError, Step, Which, which
from esbench.migrate.steps.among import declared, known
from esbench.migrate.steps.regrouping import renamed
from esbench.migrate.steps.tokens import Forgotten, Key, Masked, Token
from esbench.migrate.work import Work, rewritten
from esbench.payload import PayloadError, edits, engine
from esbench.show import cell, count

__all__ = ["Place", "PrivateStep", "forget", "mask", "place", "pseudonymise", "pseudonymise_ids", "redact"]

#: Columns that hold ids and may become tokens; the others hold JSON.
_IDS = ("stream_id", "event_id", "source_position")
_TEXTS = ("data", "metadata")
#: Metadata that names an event by its id.
_MENTIONS = ("causation_id", "correlation_id")
#: Of a subject with more values, every event is looked at.
_FEW = 20

#: From a raw value to the one that takes its place, None to leave it.
_Function: TypeAlias = "Masked | Token | Forgotten | None"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a value stands: a column, and in payloads a path.

    >>> print(place("/customer/email"), place("metadata /user"), place("event_id"), sep=", ")
    /customer/email, metadata /user, event_id
    """

    column: str
    path: str | None = None

    def __str__(self) -> str:
        if self.path is None:
            return self.column
        return cell(self.path) if self.column == "data" else f"{self.column} {cell(self.path)}"


def place(text: str) -> Place:
    """A place as a user names it: ``/path`` in the payload, ``metadata /path``, or a column that holds ids."""
    if text in _IDS:
        return Place(text)
    column, mark, path = (f"data {text}" if str(text).startswith("/") else str(text)).partition(" /")
    if column not in _TEXTS or not mark:
        raise MigrationError(f'{text!r} is no place: "/path", "metadata /path", {", ".join(_IDS)}')
    edits.Replace(f"/{path}", "null")  # raises for what is no path
    return Place(column, f"/{path}")


@dataclass(frozen=True, repr=False)
class PrivateStep(Step):
    """Values that something else takes the place of: a constant, where there is no ``function``."""

    places: tuple[Place, ...] = field(kw_only=True)
    said: str = field(kw_only=True)
    function: _Function = field(default=None, kw_only=True)
    raw: str = field(default="null", kw_only=True)
    #: Whether metadata that names an event by its id is one of the places, wherever a log keeps it.
    mentions: bool = field(default=False, kw_only=True)
    private = True

    @property
    def sentence(self) -> str:
        return f"{self.said} ({self.which})"

    @property
    def subject(self) -> frozenset[str]:
        """The values that are looked for wherever they stand, whether or not they were met."""
        return self.function.values if isinstance(self.function, Forgotten) else frozenset()

    def within(self, facts: Facts) -> tuple[Place, ...]:
        """The places in a log."""
        named = (
            [Place("metadata", facts.keys[each]) for each in _MENTIONS if each in facts.keys] if self.mentions else []
        )
        return tuple(dict.fromkeys((*self.places, *named)))

    def after(self, raw: str) -> str | None:
        """What takes the place of a raw value; None where it stays."""
        if self.function is None:
            return self.raw
        try:
            return self.function(raw)
        except PayloadError:
            return None

    def hit(self, number: int) -> tuple[str, dict[str, Any]]:
        """A condition over the columns of work, and what it binds."""
        hit, bound = self.which.sql(number)
        if not 0 < len(self.subject) <= _FEW:
            return hit, bound
        # Spelled as it is, or in some other way, which takes a backslash.
        named = {f"step{number}_subject{n}": value for n, value in enumerate(sorted(self.subject))}
        texts = [f"{column}::varchar" for column in dict.fromkeys(each.column for each in self.places)]
        told = [f"contains({text}, ${name})" for text in texts for name in named]
        told += [f"contains({text}, '\\')" for text in texts]
        return f"({hit}) and ({' or '.join(f'coalesce({each}, false)' for each in told)})", {**bound, **named}

    def over(self, work: Work, number: int) -> Work:
        if isinstance(self.function, Token):
            self.function.key.secret()
        edits.register(work.events.con)
        hit, bound = self.hit(number)
        values: dict[str, str] = {}
        for column in _TEXTS:
            made = [
                _edit(each, self.function, self.raw) for each in self.within(work.events.facts) if each.column == column
            ]
            if made:
                values[column] = edits.sql(work.held(made[0] if len(made) == 1 else edits.Many(made)), column)
        for each in self.places:
            if each.path is None and each.column != "stream_id":
                values[each.column] = self._token(each.column)
        after = rewritten(work, number, hit, values, **bound) if values else work
        return self._streams(after, number) if Place("stream_id") in self.places else after

    def _streams(self, work: Work, number: int) -> Work:
        """Every stream under a token, and what is declared of streams under theirs."""
        names = work.scratch.keep(
            f"tokens {number}",
            work.events,
            f"""
            select stream_key, stream_id, {self._token("stream_id")} as target, null::varchar as failure
            from ({known(work)})
            """,
        )
        facts = work.events.facts
        after = renamed(work, number, names)
        old = work.events.rows(f"select stream_id, target from {names} order by all") if facts.truncated else []
        bare = replace(facts, truncated=())
        told = declared(bare, (target for stream_id, target in old if facts.is_truncated(stream_id)))
        return replace(after, events=replace(after.events, facts=told))

    def _token(self, column: str) -> str:
        """SQL: the token of a column's text."""
        assert isinstance(self.function, Token)
        return f"{engine.FUNCTION}({column}, {engine.number_of(self.function)})"


def mask(
    path: str,
    *,
    keep: int = 0,
    with_: str = "*",
    length: bool = False,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> PrivateStep:
    """Mask a text or a number: its last ``keep`` characters stay, as long as they are less than half of it.

    Before them stand three marks, however long it was, or with ``length`` one for each character. Null stays; an
    object, an array, true and false fail.

    >>> mask("/card", keep=4)
    mask /card but for its last 4 characters (every event)
    """
    if isinstance(keep, bool) or not isinstance(keep, int) or keep < 0:
        raise MigrationError(f"mask(): keep= is how many characters stay, not {keep!r}")
    if not isinstance(with_, str) or len(with_) != 1:
        raise MigrationError(f"mask(): with_= is one character, not {with_!r:.40}")
    where_ = _placed(path, metadata)
    but = f" but for its last {count(keep, 'character')}" if keep else ""
    function = Masked(keep, with_, bool(length))
    said = f"mask {where_}{but}{', its length shown' if length else ''}"
    return PrivateStep(which(type, streams=streams, where=where), places=(where_,), said=said, function=function)


def redact(
    path: str,
    value: Any = None,
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> PrivateStep:
    """Put null, or one other value, in the place of whatever stands there.

    >>> redact("/customer/name"), redact("/ip", "0.0.0.0", metadata=True)
    (redact /customer/name (every event), redact metadata /ip to "0.0.0.0" (every event))
    """
    where_, raw = _placed(path, metadata), payload.encode(value)
    said = f"redact {where_}{'' if value is None else f' to {cell(raw, width=60)}'}"
    return PrivateStep(which(type, streams=streams, where=where), places=(where_,), said=said, raw=raw)


def pseudonymise(
    path: str,
    *,
    key: bytes | str,
    prefix: str = "",
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> PrivateStep:
    """Put a token in the place of a text or a number: the same for the same value, over all events, paths and ids.

    A token is made by HMAC-SHA256 with a ``key``: bytes, or the name of an environment variable that holds them. Who
    has the key can tell which token a value gets, nobody can tell the value of a token. The key is never stored; keep
    it where you want tokens to match later. A UUID becomes a UUID (without ``prefix``), anything else 32 letters, in
    which no number or word can be found by chance. Null stays; an object, an array, true and false fail.

    >>> pseudonymise("/customer/email", key="SHOP_KEY")
    pseudonymise /customer/email by the key in SHOP_KEY (every event)
    """
    where_, function = _placed(path, metadata), _token(key, prefix)
    said = f"pseudonymise {where_} by {function.key!r}"
    return PrivateStep(which(type, streams=streams, where=where), places=(where_,), said=said, function=function)


def pseudonymise_ids(*, key: bytes | str, ids: Iterable[str] | None = None, prefix: str = "") -> PrivateStep:
    """Put tokens in the place of ids in all events, so that what names the same thing goes on to do so.

    ``ids``: ``stream_id``, ``event_id``, ``source_position``, and paths of what names them: ``"metadata /user"``,
    ``"/order_id"``. Where they are not given: streams, events, and causes and correlations in metadata. Tokens are
    those of :func:`pseudonymise` with the same key and prefix. Versions and positions stay.

    >>> pseudonymise_ids(key="SHOP_KEY", ids=["stream_id", "/order_id", "metadata /user"])
    pseudonymise stream_id, /order_id, metadata /user by the key in SHOP_KEY (every event)
    """
    function = _token(key, prefix)
    named = ("stream_id", "event_id") if ids is None else (ids,) if isinstance(ids, str) else tuple(ids)
    places = tuple(dict.fromkeys(place(each) for each in named))
    if not places:
        raise MigrationError("pseudonymise_ids(): ids= names none")
    said = f"pseudonymise {', '.join(map(str, places))}{' and what names events' if ids is None else ''}"
    return PrivateStep(
        Which(), places=places, said=f"{said} by {function.key!r}", function=function, mentions=ids is None
    )


def forget(
    values: str | int | Iterable[str | int],
    paths: str | Iterable[str],
    *,
    value: Any = None,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
) -> PrivateStep:
    """Forget a subject: wherever one of its ``values`` stands at one of the ``paths``, null takes its place.

    ``values`` are all that is known of it: name, e-mail, number; they are compared exactly, a number with its digits,
    and are told nowhere. ``paths`` lead into the payload, or into metadata (``"metadata /user"``). Streams and events
    with such an id: :func:`pseudonymise_ids`. To drop events: :func:`drop_events`.

    >>> forget(["ann@example.org", "Ann Smith"], ["/customer/email", "/customer/name", "metadata /user"])
    forget 2 values of a subject at /customer/email, /customer/name, metadata /user (every event)
    """
    given = [values] if isinstance(values, str | int) else list(values)
    if not given or any(isinstance(each, bool) or not isinstance(each, str | int) or each == "" for each in given):
        raise MigrationError("forget() takes the values of a subject, texts or integers, at least one and none empty")
    places = tuple(dict.fromkeys(place(each) for each in ([paths] if isinstance(paths, str) else paths)))
    if not places or any(each.path is None for each in places):
        raise MigrationError("forget() takes paths in data and metadata, at least one: pseudonymise_ids() is for ids")
    subject, raw = frozenset(map(str, given)), payload.encode(value)
    said = f"forget {count(len(subject), 'value')} of a subject at {', '.join(map(str, places))}"
    taken = which(type, streams=streams, where=where)
    return PrivateStep(taken, places=places, said=said, function=Forgotten(subject, raw), raw=raw)


def _edit(where: Place, function: _Function, raw: str) -> edits.Edit:
    assert where.path is not None
    return edits.Replace(where.path, raw) if function is None else edits.Convert(where.path, function)


def _placed(path: str, metadata: bool) -> Place:
    if not isinstance(path, str) or not path.startswith("/"):
        raise MigrationError(f'{path!r} is no path, such as "/customer/email"')
    return place(f"metadata {path}" if metadata else path)


def _token(key: bytes | str, prefix: str) -> Token:
    if not isinstance(prefix, str):
        raise MigrationError(f"prefix= is a text, not {prefix!r:.40}")
    return Token(Key(key), prefix)
