"""Aggregates and migrations by name: ``module:object`` or ``path/to/file.py:object``."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from esbench.aggregate import Aggregate
from esbench.errors import AggregateError, nearest
from esbench.migrate import Migration

__all__ = ["migration", "named"]

_Named = TypeVar("_Named", Aggregate, Migration)


def named(name: str) -> Aggregate:
    """The aggregate that ``module:object`` or ``path/to/file.py:object`` names.

    Modules are looked for in the working directory first; a file may import its neighbours, as a script may.
    Raises AggregateError, which says what is missing, or where the module fails.

    >>> named("esbench:nothing")
    Traceback (most recent call last):
    ...
    esbench.errors.AggregateError: no aggregate "nothing" in esbench: it has none
    """
    return _named(name, Aggregate, "aggregate")


def migration(name: str) -> Migration:
    """The migration that ``module:object`` or ``path/to/file.py:object`` names; as of :func:`named`."""
    return _named(name, Migration, "migration")


def _named(name: str, kind: type[_Named], what: str) -> _Named:
    place, colon, attribute = name.rpartition(":")
    article = "an" if what == "aggregate" else "a"
    if not colon or not place or not attribute:
        raise AggregateError(f'{article} {what} is named path/to/file.py:object or module:object, not "{name}"')
    module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    found = getattr(module, attribute, None)
    if isinstance(found, kind):
        return found
    if found is not None:
        raise AggregateError(
            f'"{attribute}" in {place} is no esbench.{kind.__name__}, but of type {type(found).__name__}'
        )
    known = [key for key, value in vars(module).items() if isinstance(value, kind)]
    has = nearest(attribute, known) or f" It has {', '.join(known)}."
    raise AggregateError(f'no {what} "{attribute}" in {place}{f".{has}" if known else ": it has none"}')


def _from_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise AggregateError(f"no file {path}")
    path = path.resolve()
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    # Dataclasses look their module up by name, so it needs one that nothing else has.
    spec = importlib.util.spec_from_file_location(path.stem if path.stem not in sys.modules else str(path), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    _first_on_path(path.parent)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[spec.name]
        raise _failed(str(path), error) from error
    return module


def _from_module(name: str) -> ModuleType:
    _first_on_path(Path.cwd())
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        if missing is not None and f"{name}.".startswith(f"{missing}."):
            raise AggregateError(
                f'no module "{missing}" in {Path.cwd()} or among what is installed; a file is named with its .py'
            ) from None
        raise _failed(name, error) from error


def _first_on_path(folder: Path) -> None:
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))


def _failed(place: str, error: BaseException) -> AggregateError:
    """What a module raised, and at which of its lines."""
    if isinstance(error, SyntaxError):
        return AggregateError(f"{place} cannot be imported: {error.msg} ({error.filename}:{error.lineno})")
    ours = ("<frozen", importlib.__file__ or "", str(Path(__file__).parent))
    lines = [f"{each.filename}:{each.lineno}" for each in traceback.extract_tb(error.__traceback__)]
    theirs = [line for line in lines if not line.startswith(ours)]
    where = f" ({theirs[-1]})" if theirs else ""
    return AggregateError(f"{place} cannot be imported: {type(error).__name__}: {error}{where}")
