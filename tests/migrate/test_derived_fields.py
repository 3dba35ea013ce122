"""A member that a function of the payload gives."""

from __future__ import annotations

import pandas as pd
import pytest

import esbench as es
from esbench.migrate.step import Step


def migrated(step: Step, *texts: str) -> tuple[es.DryRun, list[str | None]]:
    rows = {"stream_id": "a", "version": range(1, len(texts) + 1), "event_type": "Placed", "data": list(texts)}
    log = es.open().load(pd.DataFrame(rows), name="orders")
    run = log.dry_run(es.Migration("derived", [step]))
    return run, [event.data_text for event in run.events]


def test_a_derived_member_stands_last_and_its_siblings_keep_their_text():
    step = es.add_field("/total/lines", using=lambda data: len(data["lines"]))
    run, texts = migrated(step, '{"lines": [1, 2], "price": 1.10}', '{"lines":[],"n":18446744073709551617}')
    assert texts == [
        '{"lines": [1, 2], "price": 1.10, "total": {"lines": 2}}',
        '{"lines":[],"n":18446744073709551617,"total":{"lines":0}}',
    ]
    assert run.passed


def test_a_member_that_is_there_stays_unless_it_is_to_be_replaced():
    assert migrated(es.add_field("/n", using=lambda data: 2), '{"n":1.0}')[1] == ['{"n":1.0}']
    assert migrated(es.add_field("/n", using=lambda data: 2, replace=True), '{"n":1.0}')[1] == ['{"n":2}']


def test_an_event_on_which_the_function_raises_stays_and_is_told():
    run, texts = migrated(es.add_field("/n", using=lambda data: data["m"]), '{"x":1}')
    assert texts == ['{"x":1}']
    assert run.failures["error"].tolist() == ["KeyError: 'm'"]
    assert run.failed == ("no event fails",)


def test_a_value_and_a_function_are_one_too_many():
    with pytest.raises(es.MigrationError, match="one of a value and using="):
        es.add_field("/n", 1, using=len)
