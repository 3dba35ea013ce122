"""Facts: what is declared or inferred of a log, and comes back from the catalog as it was."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.facts import MEANINGS, Facts

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@given(
    st.builds(
        Facts,
        base=st.sampled_from([None, 0, 1]),
        derived_versions=st.booleans(),
        positions=st.sampled_from(["recorded", "lines", "issued"]),
        truncated=st.lists(TEXT).map(tuple),
        keys=st.dictionaries(st.sampled_from(sorted(MEANINGS)), TEXT),
        notes=st.lists(TEXT).map(tuple),
    )
)
def test_facts_come_back_from_json(facts):
    assert Facts.from_dict(json.loads(json.dumps(facts.to_dict()))) == facts


@pytest.mark.parametrize(
    ("declared", "stream", "truncated"),
    [
        ((), "item-7", False),
        (("item-7",), "item-7", True),
        (("item-*",), "item-7", True),
        (("item-*",), "ITEM-7", False),
        (("a[1]",), "a[1]", True),
        (("x", "*-7"), "item-7", True),
        (("item-?",), "item-77", False),
    ],
)
def test_a_missing_head_is_declared_by_id_or_pattern(declared, stream, truncated):
    assert Facts(truncated=declared).is_truncated(stream) is truncated


def test_every_meaning_stands_at_its_own_name_unless_declared():
    assert dict(Facts().keys) == {name: f"/{name}" for name in MEANINGS}


def test_facts_do_not_share_their_keys():
    assert Facts().keys is not Facts().keys
