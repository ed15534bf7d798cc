"""Constraints and bounds in all forms: trees, numbers, matrices, borders, loops, data, residuals and float32."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import banded
from banded import Status
from kkt import assert_optimal
from targets import WANTED, ZERO, distance, point


def test_constraints_and_unknowns_as_trees() -> None:
    """A cart from 0 to 3 by pushes of ½ at most, each multiplier in the place of its constraint."""

    def motion(x: Any) -> Any:
        q, u = x["q"], x["u"]
        return {"steps": q[1:] - q[:-1] - u[:-1], "ends": (q[0], q[-1] - 3)}

    start = {"q": torch.zeros(8, dtype=torch.float64), "u": torch.zeros(8, dtype=torch.float64)}
    weights = torch.arange(1, 9, dtype=torch.float64)
    limits: dict[str, Any] = {"equality": motion, "bounds": (None, {"u": 0.5, "q": None})}  # in another order

    def effort(x: Any) -> Tensor:
        total: Tensor = (weights * x["u"].square()).sum()
        return total

    result = banded.minimize(effort, start, **limits)
    assert result.status is Status.CONVERGED
    assert_optimal(effort, result, **limits)
    assert float(result.x["u"].max()) <= 0.5
    assert result.multipliers is not None
    assert result.multipliers.equality["steps"].shape == (7,)
    assert [one.shape for one in result.multipliers.equality["ends"]] == [(), ()]
    assert result.conditions is not None
    assert result.conditions.active(1)[0].name == "x.u[0] <= upper"
    hardest = {one.name for one in result.conditions.hardest(10)}
    assert {"equality['ends'][0]", "equality['ends'][1]", "equality['steps'][3]"} <= hardest
    assert "x.u[0] <= upper" in result.explain()
    assert "Nothing is violated" in result.explain() or "Violated most" in result.explain()


@pytest.mark.parametrize("shape", ["number", "tuple", "matrix"])
def test_forms_of_residuals(shape: str) -> None:
    forms: dict[str, Callable[[Tensor], Any]] = {
        "number": lambda x: 1 - x[0] - x[1],
        "tuple": lambda x: (1 - x[0] - x[1], [x[2:] - 3.5]),
        "matrix": lambda x: torch.stack([torch.stack([1 - x[0] - x[1], x[2]]), x[2:]]),
    }
    result = banded.minimize(distance, ZERO, inequality=forms[shape])
    assert result.status is Status.CONVERGED
    assert_optimal(distance, result, inequality=forms[shape])
    np.testing.assert_allclose(result.x[:2], [0, 1], atol=1e-6)


def test_a_border_in_all_constraints() -> None:
    """min t with |y_i - sin i| <= t and y on a line: the best line in the largest error, by linear programming, too."""
    n = 40
    data = torch.arange(n, dtype=torch.float64).sin()
    start = {"y": torch.zeros(n, dtype=torch.float64), "t": torch.ones(1, dtype=torch.float64)}
    result = banded.minimize(
        lambda x: x["t"].sum(),
        start,
        equality=lambda x: x["y"].diff(n=2),
        inequality=lambda x: (x["t"] - x["y"] + data, x["t"] + x["y"] - data),
        border=["t"],
    )
    i = np.arange(n)
    rows = np.concatenate([np.stack([s * i, s * np.ones(n), -np.ones(n)], 1) for s in (1, -1)])
    reference = scipy.optimize.linprog(
        [0, 0, 1], rows, np.concatenate([data.numpy(), -data.numpy()]), bounds=[(None, None)] * 3
    )
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(reference.fun, rel=1e-6)


def test_a_loop() -> None:
    """x_{i+1} - x_i <= 0.3 all round, against SciPy."""
    n = 24
    data = 2 * torch.arange(n, dtype=torch.float64).sin()

    def f(x: Tensor) -> Tensor:
        return (x - data).square().sum()

    def g(x: Tensor) -> Tensor:
        return 0.3 - (x.roll(-1) - x)

    result = banded.minimize(f, torch.zeros(n, dtype=torch.float64), inequality=g)
    rows = np.roll(np.eye(n), 1, axis=1) - np.eye(n)
    reference = scipy.optimize.minimize(
        lambda x: f(torch.from_numpy(x)).item(),
        np.zeros(n),
        jac=lambda x: 2 * (x - data.numpy()),
        constraints={"type": "ineq", "fun": lambda x: 0.3 - rows @ x, "jac": lambda x: -rows},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, reference.x, atol=1e-5)
    assert_optimal(f, result, inequality=g)


def test_unknowns_of_a_matrix() -> None:
    lower, upper = 0.0, point(1, 1, 0.3, 0.3)

    def f(x: Tensor) -> Tensor:
        return (x[1:] - x[:-1]).square().sum() + (x - torch.arange(4)).square().sum()

    limits: dict[str, Any] = {"equality": lambda x: x.sum(1) - 1, "bounds": (lower, upper)}
    result = banded.minimize(f, torch.zeros(7, 4, dtype=torch.float64), **limits)
    assert result.status is Status.CONVERGED
    assert result.x.shape == (7, 4)
    assert result.multipliers is not None
    assert result.multipliers.equality.shape == (7,)
    assert result.multipliers.lower.shape == result.multipliers.upper.shape == (7, 4)
    assert_optimal(f, result, **limits)
    strided = torch.zeros(7, 8, dtype=torch.float64)[:, ::2]
    again = banded.minimize(f, strided, **limits)
    torch.testing.assert_close(again.x, result.x)


def test_float32() -> None:
    limits: dict[str, Any] = {"equality": lambda x: x[:1] * x[1:2] - 1, "bounds": (0.0, 2.5)}
    result = banded.minimize(distance, ZERO.float(), **limits)
    fine = banded.minimize(distance, ZERO, **limits)
    assert result.success
    assert result.multipliers is not None
    assert result.x.dtype == result.multipliers.upper.dtype == result.multipliers.equality.dtype == torch.float32
    np.testing.assert_allclose(result.x, fine.x, rtol=1e-3)  # √eps
    assert result.value == pytest.approx(fine.value, rel=1e-6)
    assert_optimal(distance, result, **limits, tolerance=1e-5)


def test_data_of_the_functions() -> None:
    def f(x: Tensor, p: Tensor) -> Tensor:
        return (x - p).square().sum()

    limits: dict[str, Any] = {
        "equality": lambda x, p: x[:1] - 2 * p[1],
        "inequality": lambda x, p: 5 * p[0] - x,
        "args": (WANTED,),
        "bounds": (0.0, 3.5),
    }
    result = banded.minimize(f, ZERO, **limits)
    assert result.status is Status.INFEASIBLE  # x_0 = 4 beyond 3.5
    limits["bounds"] = (0.0, point(9, 9, 9, 3.5))
    result = banded.minimize(f, ZERO, **limits)
    np.testing.assert_allclose(result.x, [4, 2, 3, 3.5], atol=1e-6)
    assert_optimal(f, result, **limits)


@pytest.mark.parametrize("upper", [0.8, 0.2])
def test_least_squares_within_bounds(upper: float) -> None:
    def residuals(x: Tensor) -> Tensor:
        return torch.cat([10 * (x[1:] - x[:-1] ** 2), 1 - x])

    start = torch.full((8,), -1.2, dtype=torch.float64)
    result = banded.least_squares(residuals, start, bounds=(-2.0, upper))
    reference = scipy.optimize.least_squares(
        lambda x: residuals(torch.from_numpy(x)).numpy(),
        start.numpy(),
        bounds=(-2, upper),
        xtol=1e-15,
        ftol=1e-15,
        gtol=1e-12,
    )
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(reference.cost, rel=1e-8)
    np.testing.assert_allclose(result.x, reference.x, atol=1e-6)


def test_least_squares_with_an_equality() -> None:
    """|x - a|² / 2 on the plane Σ x = 1, whose nearest point to a is a + (1 - Σ a) / 4."""
    result = banded.least_squares(lambda x: x - WANTED, ZERO, equality=lambda x: x.sum()[None] - 1)
    np.testing.assert_allclose(result.x, WANTED + (1 - 10) / 4, atol=1e-8)
