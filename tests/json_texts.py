"""Hypothesis strategies for JSON as text, odd and broken spellings included, and a slow oracle that reads it."""

from __future__ import annotations

import json
from json.decoder import WHITESPACE  # type: ignore[attr-defined]

from hypothesis import strategies as st

HOSTILE = (
    '","version":',
    '", "version": ',
    ',"data":{',
    ', "metadata": ',
    '"}',
    "NaN",
    ":nan",
    ", -inf",
    ",]",
    ", }",
    "\\",
    '"',
    "'",
    "\0",
    "\u2028",
    "é",
    "😀",
    "null",
    "",
    " ",
)

SPACES = st.sampled_from(["", "", "", " ", "  ", "\t", "\r"])

NUMBERS = st.one_of(
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "1.10",
            "1.0",
            "1e5",
            "1E+5",
            "1e400",
            "-1e400",
            "1e-400",
            "9007199254740993",
            "0.1e1",
            "18446744073709551616",
            "9" * 40,
            "0.30000000000000004000",
            "1e22",
            "100000.0",
            "123456789.123456789",
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
)

_BROKEN = r"""
    NaN nan NAN Infinity -inf -Infinity 01 1. .5 +1 - tru 'a' "open { [1,] [,1] {"a":1,} {"a":nan} {"a","b"}
    1/**/ 0x10 "\ud800" "\udc00x" "\x"
"""
BROKEN = st.sampled_from([*_BROKEN.split(), "[1 2]", "[1, ]", '{"a" 1}', '"a\tb"'])


def _string(text: str, style: int) -> str:
    if style == 0:
        return json.dumps(text)
    if style == 1:
        return json.dumps(text, ensure_ascii=False)
    if style == 2:
        return '"' + "".join(f"\\u{ord(c):04x}" if ord(c) < 0x10000 else c for c in text) + '"'
    return json.dumps(text, ensure_ascii=False).replace("/", "\\/")


CONTENTS = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    st.lists(st.sampled_from(HOSTILE), max_size=3).map("".join),
)
STRINGS = st.builds(_string, CONTENTS, st.integers(0, 3))
SCALARS = st.one_of(st.sampled_from(["null", "true", "false", "{}", "[]"]), NUMBERS, STRINGS)


def _joined(parts: list[str], spaces: list[str], brackets: str) -> str:
    inside = ",".join(f"{spaces[0]}{part}{spaces[1]}" for part in parts)
    return f"{brackets[0]}{inside}{brackets[1]}"


def _containers(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    spaces = st.lists(SPACES, min_size=2, max_size=2)
    members = st.builds(lambda key, a, b, value: f"{key}{a}:{b}{value}", STRINGS, SPACES, SPACES, values)
    return st.one_of(
        st.builds(_joined, st.lists(values, max_size=3), spaces, st.just("[]")),
        st.builds(_joined, st.lists(members, max_size=3), spaces, st.just("{}")),
    )


VALUES = st.recursive(SCALARS, _containers, max_leaves=6)
DUMPED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | CONTENTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(CONTENTS, inner, max_size=3),
    max_leaves=6,
)


def oracle(text: str) -> dict[str, str] | None:
    """The members of a strict JSON object, each as it stands; None for anything else. Plain and slow."""

    def constant(name: str) -> None:
        raise ValueError(name)

    decoder = json.JSONDecoder(parse_constant=constant)
    skip = WHITESPACE.match
    try:
        decoder.decode(text)
        json.dumps(decoder.decode(text), ensure_ascii=False).encode()
        found: dict[str, str] = {}
        at = skip(text, 0).end()
        if text[at] != "{":
            return None
        at += 1
        while True:
            at = skip(text, at).end()
            if text[at] == "}":
                return found
            name, at = decoder.raw_decode(text, at)
            at = skip(text, at).end() + 1
            start = skip(text, at).end()
            _, at = decoder.raw_decode(text, start)
            if name in found:
                return None
            found[name] = text[start:at]
            at = skip(text, at).end()
            if text[at] == ",":
                at += 1
    except (ValueError, UnicodeEncodeError):
        return None
