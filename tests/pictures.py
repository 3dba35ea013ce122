"""Whether two pictures show the same: their bytes differ between releases of what draws them."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib.image import imread

__all__ = ["alike"]

#: Pictures are compared as so many squares a side, each as light as what lies in it.
_SQUARES = 24
#: Lightness goes from 0 to 1. Another font or resolution moves a square by some 0.03, another curve by 0.15 and more.
_APART = 0.1


def alike(one: str, other: str) -> bool:
    """Whether two PNG pictures, as a notebook holds them, are of about the same size and look the same from afar."""
    pictures = [_light(text) for text in (one, other)]
    (high, wide), (tall, broad) = (picture.shape for picture in pictures)
    if abs(high - tall) > 0.1 * high or abs(wide - broad) > 0.1 * wide:
        return False
    return bool(np.abs(_squares(pictures[0]) - _squares(pictures[1])).max() < _APART)


def _light(text: str) -> np.ndarray:
    """How light each pixel is, on a white page."""
    pixels = imread(io.BytesIO(base64.b64decode(text)), format="png").astype(float)
    if pixels.ndim == 2:
        return pixels
    opaque = pixels[..., 3] if pixels.shape[2] == 4 else np.ones(pixels.shape[:2])
    return np.asarray(pixels[..., :3].mean(axis=2) * opaque + 1 - opaque)


def _squares(light: np.ndarray) -> np.ndarray:
    rows = np.array_split(light, _SQUARES, axis=0)
    return np.array([[part.mean() for part in np.array_split(row, _SQUARES, axis=1)] for row in rows])
