"""Aggregates in a module that the workers of an executor can import, as a user's own would be."""

from __future__ import annotations

from typing import Any

from esbench.aggregate import Aggregate

__all__ = ["counter"]

counter = Aggregate("Counter", initial={"n": 0, "seen": []}, streams="*")


@counter.on("Added")
def add(state: dict[str, Any], event: Any) -> dict[str, Any]:
    state["seen"].append(event.version)
    return {**state, "n": state["n"] + event.data["n"], "by": event.metadata.get("user")}


@counter.invariant("n is small")
def small(state: dict[str, Any]) -> bool:
    return bool(state["n"] < 90)
