"""Pictures of plans."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from oracles import chain, cosines, rosenbrock

pytest.importorskip("matplotlib")
METHODS = ["direct", "symmetric", "fourier", "random", "auto"]


def loop(x: Tensor) -> Tensor:
    return (x - x.roll(2)).cos().sum() + (x**4).sum()


def bordered(x: Tensor) -> Tensor:
    return loop(x[2:]) + (x[:2, None] * x[2:].sin()).sum() + (x[:2] ** 2).sum()


def shuffled(x: Tensor) -> Tensor:
    return bordered(x[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))])


def wide(x: Tensor) -> Tensor:
    return (x[:, None] * x).sin().sum()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("f", [chain, loop, bordered, shuffled, wide], ids=lambda f: f.__name__)
def test_every_method_and_structure(f: Any, method: str, tmp_path: Path) -> None:
    from matplotlib.figure import Figure

    for n in (12, 60):
        plan = banded.plan(f, torch.randn(n, dtype=torch.float64), method=method)
        figure = plan.plot()
        assert isinstance(figure, Figure)
        pattern, probes, band = figure.axes
        assert f"{plan.products} products, {plan.method}: n = {n}" in figure.get_suptitle()
        assert all(axes.get_title() and axes.images for axes in (pattern, probes, band))
        assert probes.images[0].get_array().shape[0] == plan.products  # type: ignore[union-attr]
        assert band.images[0].get_array().shape[0] == plan.bandwidth + 1  # type: ignore[union-attr]
    figure.savefig(tmp_path / "plan.png")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_unknowns(n: int, method: str) -> None:
    plan = banded.plan(lambda x: (x**4).sum(), torch.randn(n).double(), method=method)
    plan.plot().canvas.draw()


def test_trees_batches_and_every_dtype() -> None:
    def f(x: dict[str, Tensor]) -> Tensor:
        return rosenbrock(x["a"]) + (x["a"] * x["d"]).sin().sum()

    x = {"a": torch.randn(3, 12), "d": torch.randn(3)}
    banded.plan(f, x, batch_dims=1).plot().canvas.draw()


def test_the_pattern_shows_every_entry_in_the_colour_of_its_product() -> None:
    f, x, expected = cosines(12, 2)
    plan = banded.plan(f, x, method="direct")
    picture = plan.plot().axes[0].images[0].get_array()
    assert picture is not None
    for i in range(12):
        for j in range(12):
            shown = not bool(torch.as_tensor(picture.mask if hasattr(picture, "mask") else picture != picture)[i, j])
            assert shown is bool(expected[i, j] != 0)
            if shown:  # alone in that product, in one of the two rows
                product = plan.probes[int(picture[i, j])].numpy()
                alone = [(product * (expected[row] != 0)).tolist() for row in (i, j)]
                units = [[float(c == column) for c in range(12)] for column in (j, i)]
                assert alone[0] == units[0] or alone[1] == units[1]
