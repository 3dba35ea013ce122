"""Events beside the one before them: one pass over integers, in which nearly all damage shows.

A log that lies in folding order needs no sort for that, and the pass itself proves the order: rows are in folding order
if and only if none stands before the one that it follows.
"""

from __future__ import annotations

__all__ = ["DISORDER", "beside"]

#: SQL over :func:`beside`: an event stands before the one that it follows. Only a log without order has any.
DISORDER = """(
    stream_key < stream_key_before
    or (stream_key = stream_key_before and version < version_before)
    or (stream_key = stream_key_before and version = version_before and position < position_before)
)"""


def beside(window: str, **more: str) -> str:
    """SQL: of each event the integers that place it, and ``more``, each with that of the event before, ``…_before``.

    ``window`` is ``()`` where events come in folding order.

    >>> print(beside("()", moment="epoch_us(recorded_at)"))
    select
        stream_key as stream_key, lag(stream_key) over () as stream_key_before,
        version as version, lag(version) over () as version_before,
        position as position, lag(position) over () as position_before,
        epoch_us(recorded_at) as moment, lag(epoch_us(recorded_at)) over () as moment_before
    from events
    """
    columns = {name: name for name in ("stream_key", "version", "position")} | more
    pairs = (f"{value} as {name}, lag({value}) over {window} as {name}_before" for name, value in columns.items())
    gap = ",\n    "
    return f"select\n    {gap.join(pairs)}\nfrom events"
