"""JSON text: exact decoding and encoding, pointers, and the SQL that reads text without rewriting it.

A payload is kept as the text that came in. This package is the one home of DuckDB's json functions, because
they rewrite numbers (``1.10`` becomes ``1.1``) and accept more than JSON (NaN, trailing commas); what is
built here either proves that a text came through unchanged or leaves it to :func:`fields`, which is the truth.
"""

from __future__ import annotations

from esbench.payload.repeated import repeated_names
from esbench.payload.scan import PayloadError, check, fields, layout
from esbench.payload.sql import (
    kinds_at,
    loose,
    made,
    name_at,
    names_at,
    proven,
    stable,
    suspicious,
    text_at,
    transformed,
    unrepeated,
)
from esbench.payload.text import decode, encode, get, pointer, text_form

__all__ = [
    "PayloadError",
    "check",
    "decode",
    "encode",
    "fields",
    "get",
    "kinds_at",
    "layout",
    "loose",
    "made",
    "name_at",
    "names_at",
    "pointer",
    "proven",
    "repeated_names",
    "stable",
    "suspicious",
    "text_at",
    "text_form",
    "transformed",
    "unrepeated",
]
