"""What looks like a typo is told, with the nearest names."""

from __future__ import annotations

import pandas as pd
import pytest

import esbench as es
from esbench.migrate.step import Step


def warned(*steps: Step) -> tuple[str, ...]:
    rows = {"stream_id": ["item-1", "item-2"], "version": 1, "event_type": "Made", "data": '{"customer":{"name":1}}'}
    log = es.open().load(pd.DataFrame(rows), name="items")
    return log.dry_run(es.Migration("m", steps)).warnings


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (es.rename_type("Mad", "B"), 'step 1 matches nothing: rename Mad to B. Did you mean "Made"?'),
        (
            es.drop_field("/custmer/name"),
            'drop /custmer/name (every event). Did you mean "/customer/name"?',
        ),
        (es.rename_type("Made", "B", streams="itm-1"), 'a stream that the log has not: "itm-1". Did you mean "item-1"'),
        (
            es.merge_streams(["item-1", "item-22"], "x"),
            'the log has not: "item-22". Did you mean "item-2"',
        ),
    ],
)
def test_a_step_that_finds_nothing_names_what_is_near(step: Step, text: str):
    assert any(text in warning for warning in warned(step))


def test_what_an_earlier_step_made_is_no_typo():
    steps = (es.rename_stream("item-1", "x"), es.merge_streams(["x", "item-2"], "y"))
    assert warned(*steps) == ()


def test_what_finds_something_is_not_warned_of():
    assert warned(es.rename_type("Made", "B", streams="item-*"), es.drop_field("/customer/name")) == ()
