"""Steps that edit the attributes of a payload: what they do not touch keeps its text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from esbench import payload
from esbench.fold.copies import isolated
from esbench.migrate.step import EditStep, MigrationError, Step, name_of, which
from esbench.migrate.work import Work, called
from esbench.payload import edits, functions, numbers
from esbench.payload.rebuilding import decoded, written
from esbench.show import cell

__all__ = [
    "add_field",
    "convert_field",
    "drop_field",
    "merge_fields",
    "move_field",
    "rename_field",
    "retype_field",
    "split_field",
]


@dataclass(frozen=True, repr=False)
class FunctionStep(EditStep):
    """An edit in which a function of the user decides."""

    function: Callable[..., Any] = field(kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.function): self.function}


@dataclass(frozen=True, repr=False)
class Derived(Step):
    """A member that a function of the whole payload gives."""

    path: str = field(kw_only=True)
    function: Callable[[Any], Any] = field(kw_only=True)
    #: Kept alive, since the engine knows it by a number only.
    call: functions.Call = field(kw_only=True, compare=False)
    column: str = field(default="data", kw_only=True)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        return {name_of(self.function): self.function}

    @property
    def sentence(self) -> str:
        inside = " in metadata" if self.column == "metadata" else ""
        return f"add {_path(self.path)} by {name_of(self.function)}{inside} ({self.which})"

    def over(self, work: Work, number: int) -> Work:
        hit, bound = self.which.sql(number)
        return called(work, number, hit, self.call, column=self.column, **bound)


def add_field(
    path: str,
    value: Any = None,
    *,
    using: Callable[[Any], Any] | None = None,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    replace: bool = False,
    metadata: bool = False,
) -> Step:
    """Add a member with a constant, or with what ``using`` makes of the decoded payload; missing parents are made.

    One that exists keeps its value unless ``replace``.

    >>> add_field("/currency", "EUR", type="OrderPlaced")
    add /currency "EUR" (OrderPlaced)
    >>> add_field("/lines_count", using=lambda data: len(data["lines"]))
    add /lines_count by <lambda> (every event)
    """
    if using is not None:
        if value is not None:
            raise MigrationError(f"add_field({path!r}): give one of a value and using=")
        steps, function = payload.pointer(path), using

        def derived(data: Any) -> Any:
            return _put(data, steps, function, replace=replace)

        column = "metadata" if metadata else "data"
        taken = which(type, streams=streams, where=where)
        return Derived(taken, path=path, function=using, call=functions.upcast_text(derived), column=column)
    raw = payload.encode(value)
    said = f"{'set' if replace else 'add'} {_path(path)} {cell(raw, width=60)}"
    return _edit(edits.Add(path, raw, replace=replace), said, type, streams, where, metadata)


def drop_field(
    path: str,
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Remove a member.

    >>> drop_field("/customer/fax")
    drop /customer/fax (every event)
    """
    return _edit(edits.Remove(path), f"drop {_path(path)}", type, streams, where, metadata)


def rename_field(
    path: str,
    to: str,
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Give a member another name, at the same place among its siblings.

    >>> rename_field("/qty", "quantity")
    rename /qty to quantity (every event)
    """
    return _edit(edits.Rename(path, to), f"rename {_path(path)} to {cell(to)}", type, streams, where, metadata)


def move_field(
    path: str,
    to: str,
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Move a member to another place: nest it into an object, or flatten it out of one. Its text moves as it is.

    >>> move_field("/customer_name", "/customer/name")
    move /customer_name to /customer/name (every event)
    """
    return _edit(edits.Move(path, to), f"move {_path(path)} to {_path(to)}", type, streams, where, metadata)


def retype_field(
    path: str,
    to: numbers.Kind,
    *,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Write a value as another type: ``integer``, ``decimal``, ``text`` or ``boolean``.

    A value that would lose something, such as "7.6" as an integer, makes its event fail.

    >>> retype_field("/quantity", "integer")
    write /quantity as integer (every event)
    """
    try:
        function = numbers.retype(to)
    except payload.PayloadError as error:
        raise MigrationError(str(error)) from None
    return _edit(edits.Convert(path, function), f"write {_path(path)} as {to}", type, streams, where, metadata)


def convert_field(
    path: str,
    *,
    factor: int | str | Decimal | None = None,
    using: Callable[[Any], Any] | None = None,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Convert a value: multiply it exactly by ``factor`` (units), or by a function of the decoded value.

    >>> convert_field("/price", factor=100, type="OrderPlaced")
    multiply /price by 100 (OrderPlaced)
    """
    if (factor is None) == (using is None):
        raise MigrationError(f"convert_field({path!r}): give one of factor= and using=")
    if using is None:
        assert factor is not None
        edit = edits.Convert(path, numbers.scaled(Decimal(factor)))
        return _edit(edit, f"multiply {_path(path)} by {factor}", type, streams, where, metadata)
    function = using

    def converted(raw: str) -> str:
        return written(function(decoded(raw)))

    said = f"convert {_path(path)} by {name_of(using)}"
    return _edit(edits.Convert(path, converted), said, type, streams, where, metadata, using)


def split_field(
    path: str,
    into: Iterable[str],
    using: Callable[[Any], Iterable[Any]],
    *,
    keep: bool = False,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Split one value into several: ``using`` gives as many values as there are paths in ``into``.

    >>> split_field("/name", ["/first", "/last"], str.split)
    split /name into /first and /last by str.split (every event)
    """
    targets = tuple(into)

    def split(raw: str) -> list[str]:
        return [written(value) for value in using(decoded(raw))]

    edit = edits.SplitValue(path, targets, split, keep=keep)
    said = f"split {_path(path)} into {' and '.join(map(_path, targets))} by {name_of(using)}"
    return _edit(edit, said, type, streams, where, metadata, using)


def merge_fields(
    paths: Iterable[str],
    into: str,
    using: Callable[..., Any],
    *,
    keep: bool = False,
    type: str | Iterable[str] | None = None,
    streams: str | None = None,
    where: str | None = None,
    metadata: bool = False,
) -> EditStep:
    """Merge several values into one: ``using`` takes as many values as there are paths, None for what is not there.

    >>> merge_fields(["/amount", "/currency"], "/price", "{} {}".format)
    merge /amount and /currency into /price by str.format (every event)
    """
    sources = tuple(paths)

    def merged(raws: Sequence[str | None]) -> str:
        return written(using(*(None if raw is None else decoded(raw) for raw in raws)))

    edit = edits.Combine(sources, into, merged, keep=keep)
    said = f"merge {' and '.join(map(_path, sources))} into {_path(into)} by {name_of(using)}"
    return _edit(edit, said, type, streams, where, metadata, using)


def _edit(
    edit: edits.Edit,
    said: str,
    types: str | Iterable[str] | None,
    streams: str | None,
    where: str | None,
    metadata: bool,
    function: Callable[..., Any] | None = None,
) -> EditStep:
    column = "metadata" if metadata else "data"
    words = f"{said} in metadata" if metadata else said
    taken = which(types, streams=streams, where=where)
    if function is None:
        return EditStep(taken, edit, words, column)
    return FunctionStep(taken, edit, words, column, function=function)


def _put(data: Any, steps: tuple[str, ...], function: Callable[[Any], Any], *, replace: bool) -> Any:
    """A payload with a member more, at the end of its object."""
    if not steps or (payload.get(data, steps, _put) is not _put and not replace):
        return data
    # A function that changes what it is given must not change the siblings.
    value = function(isolated(data))
    place = data
    for step in steps[:-1]:
        if not isinstance(place, dict):
            break
        place = place.setdefault(step, {})
    if not isinstance(place, dict):
        raise MigrationError("what the member is to stand in is no object")
    place[steps[-1]] = value
    return data


def _path(path: str) -> str:
    payload.pointer(path)
    return cell(path)
