"""Patterns on ids, as the engine takes them."""

from __future__ import annotations

__all__ = ["pattern"]


def pattern(text: str) -> str:
    r"""A pattern with ``*``, ``?``, ``[abc]``, ``[!abc]`` as a regular expression of DuckDB (RE2), for option ``s``.

    It matches what :func:`fnmatch.fnmatchcase` matches; DuckDB's own ``glob`` reads sets differently.

    >>> pattern("item-[!0-9]?.*")
    'item\\-[^0-9].\\..*'
    """
    result = []
    place = 0
    while place < len(text):
        character = text[place]
        place += 1
        if character == "*":
            result.append(".*")
        elif character == "?":
            result.append(".")
        elif character == "[":
            negated = text.startswith("!", place)
            # A bracket that stands first is a member of the set.
            end = text.find("]", place + negated + 1)
            if end < 0:
                result.append(r"\[")
            else:
                result.append(_members(text[place + negated : end], negated=negated))
                place = end + 1
        else:
            result.append(_literal(character))
    return "".join(result)


def _members(text: str, *, negated: bool) -> str:
    """A set of characters: single ones and ranges; a range that runs backwards has no members."""
    members = []
    place = 0
    while place < len(text):
        low = high = text[place]
        if text[place + 1 : place + 2] == "-" and place + 2 < len(text):
            high = text[place + 2]
            place += 2
        place += 1
        if low <= high:
            members.append(_literal(low) if low == high else f"{_literal(low)}-{_literal(high)}")
    if not members:
        return "." if negated else r"[^\x{0}-\x{10FFFF}]"
    return f"[{'^' if negated else ''}{''.join(members)}]"


def _literal(character: str) -> str:
    if character.isascii():
        return (
            character if character.isalnum() else f"\\x{{{ord(character):X}}}" if character < " " else f"\\{character}"
        )
    return character
