import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from banded.matrix import Symmetric, SymmetricBanded
from banded.matrix.pattern import BAND, BORDER, COLORS, CORNERS
from twins import KINDS, pattern, twin

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

pytest.importorskip("matplotlib")


def drawn(figure: "Figure") -> np.ndarray:
    """What the cells of the picture belong to, from their colours."""
    figure.savefig(io.BytesIO())
    (image,) = figure.axes[0].images
    return np.asarray((np.asarray(image.get_array())[:, :, None] == COLORS).all(-1).argmax(-1))


def labels(axes: "Axes") -> list[str]:
    return [text.get_text() for text in axes.get_xticklabels()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_a_small_matrix_is_drawn_whole(kind: str, batch: tuple[int, ...]) -> None:
    one = twin(kind, 9, 2, 2, batch)
    np.testing.assert_array_equal(drawn(one.H.spy()) > 0, one.dense.reshape(-1, *one.dense.shape[-2:])[0] != 0)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_a_large_matrix_is_drawn_at_both_ends(kind: str) -> None:
    one = twin(kind, 100, 3, 2)
    n = one.H.n
    cells = drawn(one.H.spy())
    rows = [*range(40), *range(n - 20, n)]
    kept = [*range(40), *range(42, 62)]
    np.testing.assert_array_equal(cells[np.ix_(kept, kept)] > 0, one.dense[np.ix_(rows, rows)] != 0)
    assert not cells[40:42].any()
    assert not cells[:, 40:42].any()


def test_parts_have_colours_of_their_own() -> None:
    parts = drawn(twin("bordered periodic", 9, 2, 2).H.spy())
    band, border = pattern("symmetric", 11, 2), np.indices((11, 11)).max(0) >= 9
    expected = np.where(border, BORDER, np.where(band, BAND, CORNERS * pattern("periodic", 11, 2, 2)))
    np.testing.assert_array_equal(parts, expected)


def test_the_legend_names_what_there_is() -> None:
    def names(kind: str) -> list[str]:
        legend = twin(kind, 9, 2, 2).H.spy().axes[0].get_legend()
        return [text.get_text() for text in legend.get_texts()] if legend else []

    assert names("symmetric") == names("reordered symmetric") == []
    assert names("periodic") == ["band", "corners of the loop"]
    assert names("reordered bordered periodic") == ["band", "corners of the loop", "border"]


@pytest.mark.parametrize(
    ("n", "ticks"),
    [
        (1, ["0"]),
        (8, list("01234567")),
        (9, ["0", "2", "4", "6", "8"]),
        (60, [str(tick) for tick in range(0, 60, 8)]),
        (61, ["0", "20", "41", "60"]),
        (1_000_000, ["0", "20", "999980", "999999"]),
    ],
)
def test_ticks_are_rows_of_the_matrix(n: int, ticks: list[str]) -> None:
    figure = SymmetricBanded(torch.ones(1, n)).spy()
    assert labels(figure.axes[0]) == ticks
    size = len(drawn(figure))
    last = figure.axes[0].get_xticks()[-1]
    assert last < size
    assert n <= 60 or last == size - 1


def test_the_title_says_what_is_shown() -> None:
    def title(H: Symmetric) -> str:
        return H.spy().axes[0].get_title()

    assert title(twin("periodic", 9, 2).H) == "Periodic, n = 9\nbandwidth 2"
    large = twin("bordered periodic", 98, 2, 2).H
    assert title(large) == "Bordered, n = 100, first 40 and last 20 rows\ncore Periodic, bandwidth 2, border 2"


def test_zeros_of_the_band_are_left_white_and_nan_is_not() -> None:
    H = SymmetricBanded(torch.tensor([[1.0, 0.0, np.nan], [0.0, 1.0, np.nan]], requires_grad=True))
    np.testing.assert_array_equal(drawn(H.spy()), [[1, 0, 0], [0, 0, 1], [0, 1, 1]])


def test_drawing_into_given_axes() -> None:
    from matplotlib.figure import Figure

    figure = Figure(layout="constrained")
    left, right = np.asarray(figure.subfigures(1, 2))
    H = twin("periodic", 9, 2).H
    assert H.spy(left.subplots()) is figure
    assert H.spy(right.subplots()) is figure
    assert [len(axes.images) for axes in figure.axes] == [1, 1]


def test_without_matplotlib_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'banded\[plot\]'"):
        SymmetricBanded(torch.ones(1, 3)).spy()
