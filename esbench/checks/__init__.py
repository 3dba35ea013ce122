"""Checks: what is wrong with a log, and with what aggregates make of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any

import pandas as pd

from esbench import payload
from esbench.aggregate import Aggregate, refuse_other
from esbench.checks import meaning, schema, structure
from esbench.checks import snapshots as stored
from esbench.checks.check import Check
from esbench.checks.reader import reading
from esbench.checks.report import Report
from esbench.checks.snapshots import SnapshotTable
from esbench.checks.telling import tell
from esbench.errors import EsbenchError, nearest
from esbench.event import At
from esbench.events import Events
from esbench.facts import MEANINGS, Facts
from esbench.fold import keyed
from esbench.projection import Projection

__all__ = ["CHECKS", "Check", "Report", "SnapshotTable", "UnknownCheck", "check", "describe"]

#: Every check by its name.
CHECKS: Mapping[str, Check] = {each.name: each for each in (*structure.CHECKS, *schema.CHECKS, *meaning.CHECKS)}


class UnknownCheck(EsbenchError, KeyError):
    """No check of that name."""


def describe() -> pd.DataFrame:
    """One row a check: what it finds, how severe that is, and what a log must have for it.

    >>> describe().set_index("check").loc["version-fork", "needs"]
    'versions'
    """
    return pd.DataFrame(
        {
            "check": each.name,
            "kind": each.kind,
            "severity": ", ".join(each.severities),
            "explanation": each.explanation,
            "needs": ", ".join(each.needs),
        }
        for each in CHECKS.values()
    )


def check(
    events: Events,
    aggregates: Iterable[Aggregate] = (),
    *,
    only: Iterable[str] | None = None,
    skip: Iterable[str] | None = None,
    rejects: pd.DataFrame | None = None,
    tolerance_seconds: float = 1.0,
    window_seconds: float = 300.0,
    name: str | None = None,
    executor: Executor | None = None,
    snapshots: object = None,
    schemas: Mapping[Any, Any] | None = None,
) -> Report:
    """Find what is wrong with a log, and with what aggregates and read models make of it; nothing is written to it.

    ``only`` and ``skip`` name checks, or a kind of them: ``structure``, ``schema`` or ``meaning``. Checks of kind
    ``schema`` read every payload: they run where they are named, or ``schemas`` are given. Of a read model, a finding's
    ``stream_id`` tells the key, and its versions are positions; the event's own stream and version stand in the
    evidence. ``rejects`` has ``stream_id`` and ``version`` of input records that became no events, where they are
    known. Clocks may go back by ``tolerance_seconds``; content that is recorded again within ``window_seconds`` is
    told. ``snapshots``: a table of stored states of the aggregate, or a :class:`SnapshotTable`; of several aggregates,
    a dict from their names. ``schemas``: JSON Schemas by event type and schema version, as in
    ``{("OrderPlaced", 1): {"required": ["sku"]}}``, or by type alone. ``executor`` folds with Python handlers on its
    workers. Same events, same findings, in the same order. Raises UnknownCheck.
    """
    given = list(aggregates)
    for each in given:
        refuse_other(each)
    kinds = {"structure", *(["meaning"] if given else []), *([] if schemas is None else ["schema"])}
    asked = _asked(only, skip, kinds)
    facts = events.facts
    tables = stored.given_snapshots(events, given, snapshots)
    validators = schema.schemas_of(schemas)
    with reading(events, _parameters(facts, tolerance_seconds, window_seconds)) as reader:
        has = structure.offer(reader, asked)

        def why_not(one: Check) -> str | None:
            if one.kind == "structure":
                return one.why_not(facts, has)
            if one.kind == "schema":
                return schema.unclaimed(one, validators, reader, has)
            return stored.unclaimed(tables, facts) if one in stored.CHECKS else meaning.undeclared(one, given)

        reasons = {each.name: why_not(each) for each in asked}
        run = [each for each in asked if reasons[each.name] is None]
        judged = [each for each in run if each.kind == "meaning"]
        # Findings of meaning name earlier damage of their streams, whether or not it was asked for.
        damage = (
            [CHECKS[name] for name in structure.DAMAGE if CHECKS[name].why_not(facts, has) is None] if judged else []
        )
        structural = {each.name: each for each in (*run, *damage) if each.kind == "structure"}
        found = structure.find(reader, list(structural.values()), facts, _rejected(rejects))
        meant = [
            *(each for one in given if judged for each in meaning.find(reader, judged, one, executor)),
            *(each for one in tables if judged for each in stored.find(reader, one)),
        ]
        names = {each.name for each in run}
        of_payloads = schema.find(reader, names, validators)
        every = [each for each in (*found, *of_payloads, *meaning.with_damage(meant, found)) if each.check in names]
        read_models = [each for each in given if judged and isinstance(each, Projection) and each.keyed]
        return Report(
            findings=tell(reader, every, CHECKS),
            events=has.events,
            streams=has.streams,
            checks=tuple(each.name for each in run),
            not_claimed={name: reason for name, reason in reasons.items() if reason is not None},
            aggregates=tuple(each.name for each in given),
            without_key={each.name: keyed.without_key(events, each, At()) for each in read_models},
            name=name,
        )


def _asked(only: Iterable[str] | None, skip: Iterable[str] | None, kinds: Collection[str]) -> list[Check]:
    wanted, unwanted = _names(only), _names(skip)
    usual = [each.name for each in CHECKS.values() if each.kind in kinds]
    return [
        each
        for each in CHECKS.values()
        if each.name in (usual if only is None else wanted) and each.name not in unwanted
    ]


def _names(names: Iterable[str] | str | None) -> set[str]:
    """Names of checks, in which a kind stands for all checks of it. Raises UnknownCheck."""
    result = set()
    for name in [] if names is None else [names] if isinstance(names, str) else list(names):
        of_kind = {each.name for each in CHECKS.values() if name in (each.kind, each.name)}
        if not of_kind:
            known = nearest(name, CHECKS) or f" There are {', '.join(CHECKS)}."
            raise UnknownCheck(f'no check "{name}".{known}')
        result |= of_kind
    return result


def _parameters(facts: Facts, tolerance: float, window: float) -> dict[str, Any]:
    """What the SQL of checks binds; times in microseconds."""
    keys = {**MEANINGS, **facts.keys}
    # The last step of a pointer stands in the metadata text as it is, or escaped.
    tokens = {f"{name}_token": (payload.pointer(path) or ("",))[-1] for name, path in keys.items()}
    return {
        **keys,
        **tokens,
        "base": facts.base,
        "lowest": facts.base or 0,
        "tolerance": tolerance * 1e6,
        "window": window * 1e6,
    }


def _rejected(rejects: pd.DataFrame | None) -> dict[str, list[int]]:
    """Versions among the rejects by stream, ascending; those that are unknown or no numbers are left out."""
    if rejects is None or not {"stream_id", "version"} <= set(rejects.columns):
        return {}
    result: dict[str, set[int]] = {}
    for stream_id, version in zip(rejects["stream_id"], rejects["version"], strict=True):
        try:
            result.setdefault(str(stream_id), set()).add(int(version))
        except (TypeError, ValueError):
            continue
    return {stream_id: sorted(versions) for stream_id, versions in result.items()}
