"""Starts where f or a constraint is steep scale it down; the tolerance is to hold in the scales of the end."""

from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Status

COUNT = 6


def grown(x: Tensor) -> Tensor:
    """Over x >= 0 least at 0, where its gradient is 1; at x = 18 it is 7e7."""
    return x.exp().sum()


def at(number: float) -> Tensor:
    return torch.full((COUNT,), number, dtype=torch.float64)


@pytest.mark.parametrize("barrier", ["monotone", "adaptive"])
@pytest.mark.parametrize("start", [1.0, 8.0, 14.0, 18.0])
def test_f_may_be_steep(start: float, barrier: str) -> None:
    """A bound that is active at a price of 1 is met to what μ leaves: a tenth of the tolerance, over six unknowns."""
    result = banded.minimize(grown, at(start), bounds=(0, None), barrier=barrier)
    assert result.status is Status.CONVERGED
    assert float(result.x.abs().max()) < 1e-8
    assert result.multipliers is not None
    torch.testing.assert_close(result.multipliers.lower, at(1.0), rtol=0, atol=1e-7)


def test_of_a_batch_each_in_its_own_scales() -> None:
    starts = torch.stack([at(18.0), at(1.0), at(14.0)])
    results = banded.minimize(grown, starts, bounds=(0, None), batch_dims=1)
    assert results.x.abs().max() < 1e-8
    for start, together in zip(starts, results, strict=True):
        alone = banded.minimize(grown, start, bounds=(0, None))
        assert (together.status, together.iterations) == (alone.status, alone.iterations)
        torch.testing.assert_close(together.x, alone.x, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [torch.tensor(1.0), torch.arange(COUNT)])
def test_what_the_functions_take_besides_is_no_batch(target: Tensor) -> None:
    """The first of the data, or a number that has none, is not taken for that of the problem."""
    data = target.double()

    def f(x: Tensor, target: Tensor) -> Tensor:
        return (x - target).exp().sum()

    start, bounds = at(18.0), (0, None)
    given = banded.minimize(f, start, args=(data,), bounds=bounds)
    closed = banded.minimize(lambda x: f(x, data), start, bounds=bounds)
    assert given.status is Status.CONVERGED
    assert given.iterations == closed.iterations
    torch.testing.assert_close(given.x, at(0.0), rtol=0, atol=1e-6)
    assert given.multipliers is not None
    torch.testing.assert_close(given.multipliers.lower, (-data).exp().expand(COUNT), rtol=0, atol=1e-7)


@pytest.mark.parametrize("power", [3, 5])
def test_rows_may_be_steep(power: int) -> None:
    """x ** power - 1 = 0 from x = 100, where the slope is 1e4 or 1e8 times what it is at the root."""
    result = banded.minimize(
        lambda x: (x[1:] - x[:-1]).square().sum(), at(100.0), equality=lambda x: x**power - 1, bounds=(0.5, None)
    )
    assert result.status is Status.CONVERGED
    assert result.violation is not None
    assert result.violation < 1e-8
    torch.testing.assert_close(result.x, at(1.0), rtol=0, atol=1e-8)


def test_slacks_of_steep_rows_keep_their_meaning() -> None:
    """Least Σ (x + 3)² / 2 with exp(x) >= 2: x = ln 2, at a price of (ln 2 + 3) / 2 each."""
    options: dict[str, Any] = {"inequality": lambda x: x.exp() - 2}
    result = banded.minimize(lambda x: (x + 3).square().sum() / 2, at(16.0), **options)
    root = torch.tensor(2.0, dtype=torch.float64).log()
    assert result.status is Status.CONVERGED
    torch.testing.assert_close(result.x, at(float(root)), rtol=0, atol=1e-8)
    assert result.multipliers is not None
    torch.testing.assert_close(result.multipliers.inequality, at(float(root + 3) / 2), rtol=1e-6, atol=0)
