from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esbench.migrate.private.needles import LEAST, Needles

#: Few letters, so that texts hold each other, in part and more than once.
LETTERS = st.text("ab1. é", max_size=40)
LONG = LETTERS.filter(lambda text: len(text.encode()) >= LEAST)
WHOLE = "0123456789"


def word(character: str) -> bool:
    return (character.isascii() and character.isalnum()) or ord(character) > 127


def counts(text: str, needle: str, number: bool) -> bool:
    """Whether a needle stands in a text, tried at every place."""
    for start in range(len(text) - len(needle) + 1):
        if not text.startswith(needle, start):
            continue
        before, after = text[:start][-1:] or " ", text[start + len(needle) :]
        follows = after[:1] or " "
        if number:
            goes_on = follows in WHOLE + "eE" or (follows == "." and after[1:2] in [*WHOLE])
            if not goes_on and before not in WHOLE + ".":
                return True
        elif len(needle) >= 8 or (not (word(needle[0]) and word(before)) and not (word(needle[-1]) and word(follows))):
            return True
    return False


@given(st.lists(st.tuples(LONG, st.booleans()), max_size=8), st.lists(st.one_of(st.none(), LETTERS), max_size=8))
def test_needles_are_found_where_a_plain_search_finds_them(needles, texts):
    texts += [f"x{needle}.{needle}" for needle, _ in needles[:2]]
    found = Needles([text.encode() for text, _ in needles], [number for _, number in needles])
    expected = {
        (row, n)
        for row, text in enumerate(texts)
        for n, (needle, number) in enumerate(needles)
        if text is not None and counts(text, needle, number)
    }
    assert sorted(found.within(pa.array(texts, pa.string()))) == sorted(expected)


@given(st.lists(LONG, min_size=1, max_size=5), st.lists(LETTERS, max_size=5))
def test_every_place_in_bytes_is_found(needles, parts):
    straw = "".join([*parts, *needles]).encode()
    found = Needles([text.encode() for text in needles], [False] * len(needles))
    expected = [
        (at, n) for n, text in enumerate(needles) for at in range(len(straw)) if straw.startswith(text.encode(), at)
    ]
    assert sorted(found.in_bytes(np.frombuffer(straw, np.uint8))) == sorted(expected)


@pytest.mark.parametrize("at", [0, 1, 2**20 - 12, 2**20 - 8, 2**20 - 7, 2**20 - 1, 2**20, 2**20 + 3])
def test_a_needle_across_two_chunks_is_found(at):
    straw = b"." * at + b"ann@example.org" + b"." * 40
    found = Needles([b"ann@example.org", b"@exa"], [False, False])
    assert sorted(found.in_bytes(np.frombuffer(straw, np.uint8))) == [(at, 0), (at + 3, 1)]


def test_a_needle_is_not_found_across_two_rows():
    column = pa.array(["ends with ann@exa", "mple.org begins", None, "ann@example.org"])
    assert list(Needles([b"ann@example.org"], [False]).within(column)) == [(3, 0)]
    assert list(Needles([b"ann@example.org"], [False]).within(column.slice(1))) == [(2, 0)]


def test_needles_of_one_beginning_and_one_end_are_told_apart():
    texts = [f"order-{n:06}@example.org".encode() for n in range(3000)]
    needles = Needles(texts, [False] * len(texts))
    column = pa.array([f'{{"of": "{texts[n].decode()}"}}' for n in (7, 2999)])
    assert list(needles.within(column)) == [(0, 7), (1, 2999)]
    assert not list(needles.within(pa.array(["order-009999@example.org", "order-00000"])))


def test_short_needles_are_refused():
    with pytest.raises(ValueError, match="4 bytes"):
        Needles([b"abc"], [False])
