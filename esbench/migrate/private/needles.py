"""Many texts looked for in many texts at once, at any place in them.

A few bytes of each needle, the rarest that can be had, are its *window*. All windows of a text are looked up at once in
a table of bits, which costs some nanoseconds a byte however many needles there are; what is left is compared. Nothing
is missed: a text that holds a needle holds its window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["LEAST", "Needles"]

#: Shorter needles than this many bytes are not looked for.
LEAST = 4

_WIDE = 8
_CHUNK = 1 << 20
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)

_Bytes = npt.NDArray[np.uint8]
_Numbers = npt.NDArray[np.int64]

_WORD = np.zeros(256, dtype=bool)
_WORD[[*range(48, 58), *range(65, 91), *range(97, 123), *range(128, 256)]] = True


class Needles:
    """Texts to look for, of four bytes or more.

    One of fewer than eight characters counts only where it is a whole word: no letter or digit goes on at either end. A
    number counts only where no digit goes on. Any other is found anywhere.
    """

    def __init__(self, texts: Sequence[bytes], numbers: Sequence[bool]) -> None:
        self._texts = texts
        self._numbers = numbers
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        if len(lengths) and lengths.min() < LEAST:
            raise ValueError(f"a needle has {LEAST} bytes at least")
        ends = np.cumsum(lengths)
        whole = np.frombuffer(b"".join(texts), np.uint8)
        self._tables = [
            _Table(whole, (ends - lengths)[taken], lengths[taken], np.flatnonzero(taken), width)
            for taken, width in ((lengths >= _WIDE, _WIDE), (lengths < _WIDE, LEAST))
            if taken.any()
        ]

    def __len__(self) -> int:
        return len(self._texts)

    def within(self, column: pa.Array[Any]) -> Iterator[tuple[int, int]]:
        """Rows of an array of texts, and the needle that each holds; a row comes once for every needle in it."""
        strings = column.cast(pa.large_string()).fill_null("")
        _, ends, data = strings.buffers()
        if ends is None or data is None or not len(strings):
            return
        offsets = np.frombuffer(memoryview(ends), np.int64)[strings.offset : strings.offset + len(strings) + 1]
        first = int(offsets[0])
        straw = np.frombuffer(memoryview(data), np.uint8)[first : int(offsets[-1])]
        bounds = offsets - first
        seen: set[tuple[int, int]] = set()
        for start, needle in self._candidates(straw):
            row = int(np.searchsorted(bounds, start, "right")) - 1
            low, high = int(bounds[row]), int(bounds[row + 1])
            if (row, needle) not in seen and self._fits(straw, start, needle, low, high):
                seen.add((row, needle))
                yield row, needle

    def in_bytes(self, straw: _Bytes) -> Iterator[tuple[int, int]]:
        """Places in raw bytes, and the needle that stands there."""
        for start, needle in self._candidates(straw):
            end = start + len(self._texts[needle])
            if end <= len(straw) and straw[start:end].tobytes() == self._texts[needle]:
                yield start, needle

    def _candidates(self, straw: _Bytes) -> Iterator[tuple[int, int]]:
        for table in self._tables:
            yield from table.candidates(straw)

    def _fits(self, straw: _Bytes, start: int, needle: int, low: int, high: int) -> bool:
        """Whether a needle stands at a place within a text, and counts there."""
        text = self._texts[needle]
        end = start + len(text)
        if end > high or straw[start:end].tobytes() != text:
            return False
        before = int(straw[start - 1]) if start > low else 32
        after = int(straw[end]) if end < high else 32
        if self._numbers[needle]:
            beyond = int(straw[end + 1]) if end + 1 < high else 32
            goes_on = after in b"0123456789eE" or (after == 46 and beyond in b"0123456789")
            return not goes_on and before not in b"0123456789."
        if len(text.decode("utf-8", "replace")) >= _WIDE:
            return True
        return not (_WORD[text[0]] and _WORD[before]) and not (_WORD[text[-1]] and _WORD[after])


class _Table:
    """Needles that are at least so many bytes long as their windows are wide."""

    def __init__(self, whole: _Bytes, starts: _Numbers, lengths: _Numbers, needles: _Numbers, width: int) -> None:
        self._width = width
        self._kind = np.dtype("<u8" if width == _WIDE else "<u4")
        self._whole = whole
        # A window at the beginning is often that of many needles (order-…), one at the end that of others (….com).
        room = lengths - width
        places = np.stack([room * n // 4 for n in range(5)])
        keys = np.stack([_gathered(whole, starts + place, width, self._kind) for place in places])
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        rarest = np.argmin(counts[inverse].reshape(keys.shape), axis=0)
        each = np.arange(len(starts))
        order = np.argsort(keys[rarest, each], kind="stable")
        self._keys = keys[rarest, each][order]
        self._place = places[rarest, each][order]
        self._start = starts[order]
        self._length = lengths[order]
        self._needle = needles[order]
        self._shift = np.uint64(64 - min(max(len(starts).bit_length() + 5, 12), 24))
        self._bits = np.zeros(1 << (64 - int(self._shift)), dtype=bool)
        self._bits[self._hashed(self._keys)] = True

    def candidates(self, straw: _Bytes) -> Iterator[tuple[int, int]]:
        """Places at which a needle may begin, by its window and its first and last bytes."""
        for low in range(0, len(straw), _CHUNK):
            part = straw[low : low + _CHUNK + self._width - 1]
            for residue in range(self._width):
                n = (len(part) - residue) // self._width
                if n <= 0:
                    continue
                windows = part[residue : residue + n * self._width].view(self._kind)
                met = np.flatnonzero(self._bits[self._hashed(windows)])
                if len(met):
                    yield from self._compared(straw, low + residue + met * self._width, windows[met])

    def _compared(
        self, straw: _Bytes, at: _Numbers, keys: npt.NDArray[np.unsignedinteger]
    ) -> Iterator[tuple[int, int]]:
        first = np.searchsorted(self._keys, keys, "left")
        counts = np.searchsorted(self._keys, keys, "right") - first
        total = int(counts.sum())
        if not total:
            return
        # Each place as often as there are needles of its window.
        rows = np.repeat(first, counts) + np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        begin = np.repeat(at, counts) - self._place[rows]
        fits = (begin >= 0) & (begin + self._length[rows] <= len(straw))
        rows, begin = rows[fits], begin[fits]
        for last in (False, True):
            place = self._length[rows] - self._width if last else np.zeros(len(rows), np.int64)
            here = _gathered(straw, begin + place, self._width, self._kind)
            same = here == _gathered(self._whole, self._start[rows] + place, self._width, self._kind)
            rows, begin = rows[same], begin[same]
        yield from zip(begin.tolist(), self._needle[rows].tolist(), strict=True)

    def _hashed(self, keys: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.uint64]:
        return (keys.astype(np.uint64, copy=False) * _MULTIPLIER) >> self._shift


def _gathered(
    source: _Bytes, starts: _Numbers, width: int, kind: np.dtype[np.unsignedinteger]
) -> npt.NDArray[np.unsignedinteger]:
    """The bytes from each of some places on, as numbers."""
    return np.ascontiguousarray(source[starts[:, None] + np.arange(width)]).view(kind)[:, 0]
