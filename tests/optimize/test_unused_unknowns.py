"""Unknowns that neither f nor any constraint takes, and that have no bounds: they stay where they start."""

from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Status

NODES = 10
START = torch.arange(2.0 * NODES, dtype=torch.float64).reshape(NODES, 2)


def stretched(x: Tensor) -> Tensor:
    """Of the first column alone."""
    return x[:, 0].diff().square().sum() + (x[:, 0] - 1).square().sum()


def product(x: Tensor) -> Tensor:
    return x[:1, 0] * x[1:2, 0] - 2


def without(start: Tensor, **options: Any) -> Any:
    """The problem of the first column, stated without the second."""
    return banded.minimize(
        lambda y: stretched(y[:, None]), start, equality=lambda y: product(y[:, None]), progress=False, **options
    )


def test_they_stay_and_cost_no_shift() -> None:
    result = banded.minimize(stretched, START, equality=product)
    other = without(START[:, 0])
    assert result.status is Status.CONVERGED
    assert torch.equal(result.x[:, 1], START[:, 1])
    assert [record.shift for record in result.history] == [record.shift for record in other.history]
    torch.testing.assert_close(result.x[:, 0], other.x, rtol=1e-9, atol=1e-9)


def test_in_batches_too() -> None:
    starts = torch.stack([START, START + 1, -START])
    results = banded.minimize(stretched, starts, equality=product, batch_dims=1)
    assert torch.equal(results.x[:, :, 1], starts[:, :, 1])
    for number, result in enumerate(results):
        other = without(starts[number, :, 0])
        assert (result.status, result.iterations) == (Status.CONVERGED, other.iterations)
        assert [record.shift for record in result.history] == [record.shift for record in other.history]
        torch.testing.assert_close(result.x[:, 0], other.x, rtol=1e-9, atol=1e-9)


def test_on_a_border_too() -> None:
    start = {"x": START, "used": torch.tensor(3.0).double(), "unused": torch.tensor(5.0).double()}
    result = banded.minimize(
        lambda z: stretched(z["x"]) + (z["used"] - z["x"][:, 0].mean()).square(),
        start,
        equality=lambda z: product(z["x"]),
        border=["used", "unused"],
    )
    assert result.status is Status.CONVERGED
    assert float(result.x["unused"]) == 5.0
    assert not any(record.shift for record in result.history)
    torch.testing.assert_close(result.x["used"], result.x["x"][:, 0].mean())


@pytest.mark.parametrize("weight", [1.0, -1.0])
def test_what_only_its_slope_shows_is_no_unused_one(weight: float) -> None:
    """A linear term alone lets f fall without limit: a step must move it, and a bound must stop it."""

    def tilted(x: Tensor) -> Tensor:
        return stretched(x) + weight * x[3, 1]

    assert banded.minimize(tilted, START, equality=product).status is Status.UNBOUNDED
    held = banded.minimize(tilted, START, equality=product, bounds=(-5, 25))
    assert held.status is Status.CONVERGED
    assert float(held.x[3, 1]) == pytest.approx(-5 if weight > 0 else 25, abs=1e-6)
