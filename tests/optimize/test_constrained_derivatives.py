"""Derivatives of constrained minima, against finite differences of minima."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded

N = 12
START = torch.full((N,), 0.1, dtype=torch.float64)


def objective(theta: Tensor) -> Callable[[Tensor], Tensor]:
    """Unknowns that are drawn to θ and to each other."""
    return lambda x: (x - theta[:N]).square().sum() + (x[1:] - x[:-1]).square().sum() * theta[N].exp()


def bounds_with_one_fixed() -> tuple[Tensor, Tensor]:
    lower = torch.full((N,), -9.0, dtype=torch.float64)
    upper = -lower.clone()
    lower[3] = upper[3] = 0.2
    return lower, upper


CASES: dict[str, Callable[[Tensor], dict[str, Any]]] = {
    "equality": lambda t: {"equality": lambda x: x[1:4] ** 2 * t[N + 1] + x[2:5] - 1},
    "inequality": lambda t: {"inequality": lambda x: t[N + 1] - x[::3] ** 2},
    "bounds": lambda t: {"bounds": (torch.full((N,), -0.3, dtype=torch.float64), 0.6)},
    "fixed": lambda t: {"bounds": bounds_with_one_fixed()},
    "all": lambda t: {
        "equality": lambda x: x[1:4] ** 2 * t[N + 1] + x[2:5] - 1,
        "inequality": lambda x: t[N + 1] - x[6::3] ** 2,
        "bounds": (-0.5, torch.full((N,), 2.0, dtype=torch.float64)),
    },
}


@pytest.mark.parametrize("case", CASES)
def test_derivatives_match_finite_differences(case: str) -> None:
    theta = torch.randn(N + 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    theta[N], theta[N + 1] = -0.5, 0.7

    def minimum(theta: Tensor) -> Tensor:
        result = banded.minimize(objective(theta), START, tolerance=1e-10, **CASES[case](theta))
        assert result.success
        x: Tensor = result.x
        return x

    assert torch.autograd.gradcheck(minimum, (theta.requires_grad_(),), eps=1e-5, atol=1e-5, rtol=1e-4)


def test_derivatives_of_a_batch() -> None:
    theta = torch.randn(4, N, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def minima(theta: Tensor) -> Tensor:
        results = banded.minimize(
            lambda x, t: (x - t).square().sum() + (x[1:] - x[:-1]).square().sum(),
            START.expand(4, -1),
            args=(theta,),
            bounds=(-0.4, 0.5),
            equality=lambda x, t: x[:1] + x[1:2] - 0.1,
            batch_dims=1,
            tolerance=1e-10,
        )
        assert bool(results.success.all())
        x: Tensor = results.x
        return x

    assert torch.autograd.gradcheck(minima, (theta.requires_grad_(),), eps=1e-5, atol=1e-5, rtol=1e-4)


def test_a_bound_that_is_met_with_no_force_has_no_derivative() -> None:
    target = torch.zeros((), dtype=torch.float64, requires_grad=True)
    result = banded.minimize(lambda x: (x - target).square().sum(), START, bounds=(0, None))
    with pytest.raises(ValueError, match="met exactly with a multiplier of zero"):
        result.x.sum().backward()


def test_a_minimum_that_may_move_has_no_derivative() -> None:
    target = torch.zeros((), dtype=torch.float64, requires_grad=True)
    result = banded.minimize(
        lambda x: (x[:2] - target).square().sum(), START, equality=lambda x: x[:1] - 0.5, bounds=(-1, 1)
    )
    with pytest.raises(ValueError, match="strict minimum"):
        result.x.sum().backward()


def test_a_point_that_is_no_minimum_has_no_derivative() -> None:
    target = torch.zeros((), dtype=torch.float64, requires_grad=True)
    result = banded.minimize(lambda x: (x - target).square().sum(), START, equality=lambda x: x[:1] ** 2 + 1)
    with pytest.raises(ValueError, match="expected a minimum to differentiate, got INFEASIBLE"):
        result.x.sum().backward()


def test_there_is_no_graph_where_none_is_wanted() -> None:
    target = torch.zeros((), dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        result = banded.minimize(lambda x: (x - target).square().sum(), START, bounds=(1, 2))
    assert not result.x.requires_grad
    assert not banded.minimize(lambda x: x.square().sum(), START, bounds=(1, 2)).x.requires_grad
