"""SQL over JSON text: the one home of the engine's json functions.

They rewrite numbers (``1.10`` becomes ``1.1``) and accept more than JSON (NaN, trailing commas); what is built here
either proves that a text came through unchanged or leaves it to :func:`esbench.payload.fields`, which is the truth.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

__all__ = [
    "kinds_at",
    "loose",
    "made",
    "name_at",
    "names_at",
    "proven",
    "stable",
    "suspicious",
    "text_at",
    "transformed",
    "unrepeated",
]


def stable(expression: str) -> str:
    """SQL: true where a JSON text equals its own re-serialisation, so that SQL may slice it without changing it."""
    return f"(({expression})->'$')::varchar = ({expression})::varchar"


def suspicious(expression: str) -> str:
    """SQL: true where a text that DuckDB takes for JSON may hold NaN or an infinity, which JSON has not.

    The letters are looked for first, because the exact pattern costs several times as much.
    """
    return f"""case when contains(lower({expression}), 'nan') or contains(lower({expression}), 'inf')
        then regexp_matches({expression}, '(^|[:,\\[])\\s*-?(?i:nan|inf)') else false end"""


def proven(expression: str) -> str:
    """SQL: true where a text certainly is strict JSON; where false, :func:`check` decides."""
    return f"""coalesce(json_valid({expression}) and not {suspicious(expression)}
        and not {loose(expression)}, false)"""


def made(expression: str) -> str:
    """SQL: JSON text made of a nested DuckDB value, such as a STRUCT or a LIST of a Parquet file."""
    return f"to_json({expression})"


def text_at(expression: str, path: str) -> str:
    """SQL: the value at a pointer, as text; a number in DuckDB's spelling. Both arguments are SQL."""
    return f"json_extract_string({expression}, {path})"


def name_at(expression: str, path: str) -> str:
    """SQL: a string's content or a number's text at a pointer; NULL for anything else, and for ''. Both are SQL."""
    return f"""case when json_type({expression}, {path}) in ('VARCHAR', 'BIGINT', 'UBIGINT', 'DOUBLE')
        then nullif(json_extract_string({expression}, {path}), '') end"""


def names_at(expression: str, paths: str) -> str:
    """SQL: the names of the members of the objects at constant pointers, as they come, repeated ones too."""
    return f"json_keys({expression}, {paths})"


def kinds_at(expression: str, paths: str) -> str:
    """SQL: the types of the values at constant pointers, by the engine's names; of equal names the first counts."""
    return f"json_type({expression}, {paths})"


def unrepeated(expression: str) -> str:
    """SQL: true where a text certainly has no name twice: an object without another in it, whose names differ."""
    return f"""(not contains(substr(({expression})::varchar, 2), '{{')
        and len(json_keys({expression})) = len(list_distinct(json_keys({expression}))))"""


def transformed(expression: str, forms: Mapping[str, str]) -> str:
    """SQL: a STRUCT of an object's members, each VARCHAR or JSON; of equal names the first, escaped ones included."""
    structure = json.dumps(forms).replace("'", "''")
    return f"json_transform({expression}, '{structure}')"


def loose(expression: str) -> str:
    """SQL: true where a text that DuckDB takes for JSON may have space around it or a comma before a closing bracket.

    Anchors in the pattern would make it three times as slow.
    """
    ends = " or ".join(f"suffix({expression}, {space})" for space in ("' '", "e'\\t'", "e'\\n'", "e'\\r'"))
    return f"({expression} < '!' or {ends} or regexp_matches({expression}, ',\\s*[\\]}}]'))"
