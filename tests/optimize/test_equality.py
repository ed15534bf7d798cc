import signal
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import banded
from banded import Status
from banded.problems import cartpole
from kkt import assert_optimal


def distance(x: Tensor) -> Tensor:
    return (x - torch.arange(len(x), dtype=x.dtype)).square().sum()


def circles(x: Tensor) -> Tensor:
    """Neighbours lie on unit circles."""
    return x[1:] ** 2 + x[:-1] ** 2 - 1


def test_linear_constraints_match_the_exact_kkt_system() -> None:
    """min ½|x - a|² with x_{i+1} + x_i = 1: one linear system, solved densely."""
    n = 12
    a = np.linspace(-1, 2, n)
    J = np.eye(n)[1:] + np.eye(n)[:-1]
    kkt = np.block([[np.eye(n), J.T], [J, np.zeros((n - 1, n - 1))]])
    solution = np.linalg.solve(kkt, np.concatenate([a, np.ones(n - 1)]))
    result = banded.minimize(
        lambda x: 0.5 * (x - torch.from_numpy(a)).square().sum(),
        torch.zeros(n, dtype=torch.float64),
        equality=lambda x: x[1:] + x[:-1] - 1,
    )
    assert result.status is Status.CONVERGED
    assert result.multipliers is not None
    np.testing.assert_allclose(result.x, solution[:n], atol=1e-8)
    np.testing.assert_allclose(result.multipliers.equality, solution[n:], atol=1e-6)


def test_curved_constraints_match_an_independent_optimiser() -> None:
    start = torch.full((6,), 0.6, dtype=torch.float64)
    result = banded.minimize(distance, start, equality=circles)
    reference = scipy.optimize.minimize(
        lambda x: float(distance(torch.from_numpy(x))),
        start.numpy(),
        constraints={"type": "eq", "fun": lambda x: circles(torch.from_numpy(x)).numpy()},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(reference.fun, rel=1e-6)
    np.testing.assert_allclose(result.x, reference.x, atol=1e-4)


@pytest.mark.parametrize("nodes", [3, 20, 100])
def test_cartpole_satisfies_the_kkt_conditions(nodes: int) -> None:
    problem = cartpole(nodes)
    assert problem.equality is not None
    result = problem.solve()
    assert result.status is Status.CONVERGED
    assert_optimal(problem.objective, result, equality=problem.equality)
    assert result.violation is not None
    assert float(problem.equality(result.x).abs().max()) == pytest.approx(result.violation)
    assert result.violation < 1e-8


def test_cartpole_reaches_the_optimum_of_the_author_s_own_way() -> None:
    """benchmarks/descent.py re-creates it: 144.831116 at 100 nodes."""
    assert cartpole(100).solve().value == pytest.approx(144.831116, abs=1e-6)


def test_history_of_a_constrained_run(capsys: pytest.CaptureFixture[str]) -> None:
    result = cartpole(10).solve(progress=True)
    heading = capsys.readouterr().out.splitlines()[0].split()
    assert heading[:9] == [
        "iter", "objective", "inf_pr", "inf_du", "lg(mu)", "||d||", "lg(rg)", "alpha_du", "alpha_pr"
    ]  # fmt: skip
    assert result.history[-1].iteration == result.iterations
    assert result.iterations == sum(record.step > 0 for record in result.history)
    barriers = [record.barrier for record in result.history if record.barrier is not None]
    assert barriers == sorted(barriers, reverse=True)
    assert result.history[-1].violation == pytest.approx(result.violation, abs=1e-12)
    assert "violation" in str(result)


def test_contradicting_constraints_are_infeasible() -> None:
    result = banded.minimize(
        distance, torch.zeros(5, dtype=torch.float64), equality=lambda x: torch.cat([x - 1, x + 1])
    )
    assert result.status is Status.INFEASIBLE
    assert not result.success
    assert result.violation == pytest.approx(1, rel=0.1)  # the least there is


def test_redundant_constraints_do_no_harm() -> None:
    result = banded.minimize(
        distance, torch.zeros(5, dtype=torch.float64), equality=lambda x: torch.cat([x[1:] - x[:-1], x[1:] - x[:-1]])
    )
    assert result.success
    np.testing.assert_allclose(result.x, 2, atol=1e-7)


def test_an_objective_bounded_only_by_its_constraints() -> None:
    result = banded.minimize(
        lambda x: -x.square().sum() + x[0],
        torch.full((4,), 0.5, dtype=torch.float64),
        equality=lambda x: x**2 - 1,
    )
    assert result.success
    np.testing.assert_allclose(result.x.abs(), 1, atol=1e-8)


def test_float32() -> None:
    result = banded.minimize(distance, torch.full((6,), 0.6), equality=circles, tolerance=1e-4)
    assert result.success
    assert result.x.dtype == torch.float32
    assert result.violation is not None
    assert result.violation < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tolerance_of_zero_ends_at_rounding_errors(dtype: torch.dtype) -> None:
    """Rounding may happen to leave exact zeros, and nothing else is converged."""
    result = banded.minimize(distance, torch.full((6,), 0.6, dtype=dtype), equality=circles, tolerance=0)
    assert result.violation is not None
    assert result.status is Status.PRECISION or result.violation == result.gradient_norm == 0
    assert result.violation < 1e3 * torch.finfo(dtype).eps
    assert result.gradient_norm < 1e4 * torch.finfo(dtype).eps
    assert result.iterations < 200


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-6, 1e-4, 1.0, 1e6])
def test_constraints_of_any_scale_are_met(dtype: torch.dtype, scale: float) -> None:
    """min |x - 1|² with x_{i+1} = x_i + 3: x = 1 + 3 (i - 2), f = 90."""
    result = banded.minimize(
        lambda x: (x - 1).square().sum(),
        torch.zeros(5, dtype=dtype),
        equality=lambda x: scale * (x[1:] - x[:-1] - 3),
        tolerance=1e-8 * min(1.0, scale),  # c has its own units
    )
    assert result.success
    np.testing.assert_allclose(result.x, [-5, -2, 1, 4, 7], rtol=1e-4)
    assert result.value == pytest.approx(90, rel=1e-4)


def test_values_are_those_of_f_however_steep_constraints_are() -> None:
    result = banded.minimize(
        lambda x: (x - 1).square().sum(),
        torch.zeros(5, dtype=torch.float64),
        equality=lambda x: 1e10 * (x[1:] - x[:-1] - 3),
        max_iterations=0,
    )
    assert result.value == 5
    assert result.history[0].value == 5
    assert result.violation == 3e10


def test_statuses_of_runs_that_cannot_succeed() -> None:
    start = -torch.ones(2, dtype=torch.float64)
    unbounded = banded.minimize(lambda x: x[0] ** 3 + x[1] ** 2, start, equality=lambda x: x[1:] - 0.5)
    assert unbounded.status is Status.UNBOUNDED
    close = banded.minimize(
        lambda x: (x - 1).square().sum(), torch.zeros(5), equality=lambda x: torch.stack([x[0] - 1, x[0] - 1.0005])
    )
    assert close.status is Status.INFEASIBLE


@pytest.mark.parametrize("given", ["equality", "bounds"])
def test_a_kink_is_told_as_one(given: str) -> None:
    limits: dict[str, Any] = {"equality": lambda x: x[:2].sum()[None] - 1.7, "bounds": (-5.0, 5.0)}
    result = banded.minimize(
        lambda x: (x - torch.arange(3)).abs().sum() + 0.1 * x.square().sum(),
        torch.zeros(3, dtype=torch.float64),
        max_iterations=100,
        **{given: limits[given]},
    )
    assert result.status is Status.LINE_SEARCH


def test_under_inference_mode() -> None:
    with torch.inference_mode():
        result = banded.minimize(distance, torch.full((6,), 0.6, dtype=torch.float64), equality=circles)
    assert result.status is Status.CONVERGED


def test_interrupt_returns_the_best_point_so_far() -> None:
    problem = cartpole(30)
    calls = 0

    def f(z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == 40:
            signal.raise_signal(signal.SIGINT)
        return problem.objective(z)

    result = banded.minimize(f, problem.start, equality=problem.equality, bandwidth=6)
    assert result.status is Status.INTERRUPTED
    assert result.iterations > 0
    assert result.value == pytest.approx(float(problem.objective(result.x)), rel=1e-12)
