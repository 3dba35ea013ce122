"""Pictures that say something else are told apart, and those that are only drawn otherwise are not."""

from __future__ import annotations

import base64
import io

import pytest
from matplotlib.figure import Figure

from tests.pictures import alike


def drawn(values, *, size=10.0, width=6.0, dpi=100, color="#0072B2", title="stock"):
    figure = Figure(figsize=(width, 3), layout="constrained")
    ax = figure.add_subplot()
    ax.step(range(len(values)), values, where="post", color=color, linewidth=2)
    ax.set_title(title, fontsize=size)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=dpi)
    return base64.b64encode(out.getvalue()).decode()


ONE = drawn([0, 5, 2, -2, -2])


@pytest.mark.parametrize("change", [{}, {"size": 11}, {"dpi": 104}, {"color": "#0073B4"}], ids=str)
def test_what_is_drawn_a_little_otherwise_is_alike(change):
    assert alike(ONE, drawn([0, 5, 2, -2, -2], **change))


@pytest.mark.parametrize("values", [[0, 5, 2, 2, 2], [0, 5, 2, -2], [0, 5, -2, -2, -2], []], ids=str)
def test_another_curve_is_not_alike(values):
    assert not alike(ONE, drawn(values))


def test_a_picture_of_another_size_is_not_alike():
    assert not alike(ONE, drawn([0, 5, 2, -2, -2], width=8.0))
