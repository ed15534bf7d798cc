"""How the barrier parameter falls: optima do not depend on the rule, and steps aim at the best of what was tried."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import Status
from banded.optimize.interior.form import Form
from banded.optimize.interior.point import Move, Point
from banded.optimize.interior.quality import HIGHEST, LOWEST, TRIED, best_barrier
from banded.optimize.interior.questions import Asking, Measure
from banded.optimize.interior.schedule import REMEMBERED, SHARE, Adaptive
from banded.problems import PROBLEMS
from kkt import assert_optimal

# Optima: those of tests/problems/test_solved.py, of CUTEst's files and Ipopt. Steps: 1.5 times those of Ipopt's
# monotone rule; None where Ipopt fails.
SOLVED: list[tuple[str, dict[str, Any], float, float, int | None]] = [
    ("nonscomp", {"nodes": 25}, 0.0, 1e-6, None),
    ("nonscomp", {"nodes": 100}, 0.0, 1e-6, None),
    ("chenhark", {"nodes": 100, "free": 50, "degenerate": 20}, -2.0, 1e-8, 16),
    ("liswet1", {"nodes": 1000, "order": 3}, 2.504493, 5e-7, 39),
    ("optcntrl", {"nodes": 10}, 550.0, 1e-8, 30),
    ("corkscrw", {"nodes": 50}, 26.4844789, 5e-8, 30),
    ("dtoc1l", {"nodes": 10, "nx": 2, "ny": 4}, 0.0735945389381, 1e-10, 9),
    ("hanging", {"nodes": 100}, 5.06978461, 2e-9, 7),
]


@pytest.mark.parametrize("case", SOLVED, ids=lambda case: "-".join(map(str, (case[0], *case[1].values()))))
def test_the_adaptive_rule_finds_the_known_optimum(case: tuple[str, dict[str, Any], float, float, int | None]) -> None:
    name, sizes, optimum, digits, ipopt = case
    problem = PROBLEMS[name](**sizes)
    result = problem.solve(barrier="adaptive")
    assert result.status is Status.CONVERGED
    assert result.value == pytest.approx(optimum, rel=digits, abs=digits if optimum == 0 else 0)
    assert result.iterations <= (math.inf if ipopt is None else 1.5 * ipopt)
    assert_optimal(
        problem.objective, result, equality=problem.equality, inequality=problem.inequality, bounds=problem.bounds
    )


def hill(x: Tensor, at: Tensor) -> Tensor:
    return (x - at).square().sum() + 0.3 * (x[1:] * x[:-1]).sum()


def room(x: Tensor, at: Tensor) -> Tensor:
    return 1.2 - x[1:].square() - x[:-1].square()


@pytest.mark.parametrize("rule", ["monotone", "adaptive"])
def test_a_batch_is_its_problems_one_by_one(rule: str) -> None:
    generator = torch.Generator().manual_seed(0)
    at = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    bounds = (torch.tensor([[-0.5]] * 5 + [[-torch.inf]]).double(), 2.0)
    options: dict[str, Any] = {"inequality": room, "barrier": rule}
    start = torch.zeros(6, 8, dtype=torch.float64)
    results = banded.minimize(hill, start, args=(at,), bounds=bounds, batch_dims=1, **options)
    for number, together in enumerate(results):
        alone = banded.minimize(hill, start[0], args=(at[number],), bounds=(bounds[0][number], 2.0), **options)
        assert (together.status, together.iterations) == (alone.status, alone.iterations)
        torch.testing.assert_close(together.x, alone.x, rtol=1e-7, atol=1e-7)


def test_a_warm_start_is_fast_by_either_rule() -> None:
    problem = PROBLEMS["chenhark"](nodes=100, free=50, degenerate=20)
    first = problem.solve(barrier="adaptive")
    again = banded.minimize(
        problem.objective, first.x, bounds=problem.bounds, warm_start=first, barrier="adaptive", tolerance=1e-9
    )
    assert again.success
    assert again.iterations < first.iterations


def small() -> tuple[Form, Point]:
    """Three unknowns within bounds on some sides, one equation."""
    rng = np.random.default_rng(0)
    none = math.inf
    lower = torch.tensor([[0.0, -none, -1.0]]).double()
    upper = torch.tensor([[none, 1.0, 2.0]]).double()
    v, rows = torch.tensor([[0.3, 0.6, 0.1]]).double(), torch.tensor([[0.4]]).double()
    form = Form.of(lower, upper, 1, 1)
    draw = torch.as_tensor(rng.random((2, 1, 3)))
    none_there: Any = None
    z = draw[0] * form.has_lower, draw[1] * form.has_upper
    here = Point(v, rows, *z, v[:, 0], rows, v, v, v[:, 0].isfinite(), none_there, none_there)
    return form, here


def test_the_step_aims_at_what_leaves_least() -> None:
    """Against the definition, in loops; what a step leaves of gradient and equations is (1 - its length)²."""
    form, here = small()
    rng = np.random.default_rng(1)
    for _ in range(20):
        affine, central = (
            Move(*(torch.as_tensor(rng.standard_normal((1, k))) for k in (3, 1, 3, 3))) for _ in range(2)
        )
        affine, central = (
            one._replace(lower=one.lower * form.has_lower, upper=one.upper * form.has_upper)
            for one in (affine, central)
        )
        gradient = torch.as_tensor(rng.standard_normal((1, 3)))
        limits = torch.tensor([[1e-4]]).double(), torch.tensor([[3.0]]).double()
        got = best_barrier(form, here, gradient, affine, central, limits, torch.tensor([0.99]).double())

        room = [(0, 0.3, 1, here.lower[0, 0]), (1, 0.4, -1, here.upper[0, 1])]
        room += [(2, 1.1, 1, here.lower[0, 2]), (2, 1.9, -1, here.upper[0, 2])]
        mean = sum(float(z) * distance for _, distance, _, z in room) / 4
        best, least = math.nan, math.inf
        for exponent in np.linspace(LOWEST, HIGHEST, TRIED):
            mu = min(max(mean * 10**exponent, 1e-4), 3.0)
            v, _, lower, upper = ((a + mu * b)[0].tolist() for a, b in zip(affine, central, strict=True))
            steps = [(sign * v[i], (lower if sign > 0 else upper)[i]) for i, _, sign, _ in room]
            primal = min([1.0] + [-0.99 * d / s for (_, d, _, _), (s, _) in zip(room, steps, strict=True) if s < 0])
            dual = min([1.0] + [-0.99 * float(z) / s for (*_, z), (_, s) in zip(room, steps, strict=True) if s < 0])
            left = (1 - dual) ** 2 * float(gradient.square().mean()) + (1 - primal) ** 2 * 0.4**2
            for (_, distance, _, z), (primal_step, dual_step) in zip(room, steps, strict=True):
                left += ((distance + primal * primal_step) * (float(z) + dual * dual_step)) ** 2 / 4
            if left < least:
                best, least = mu, left
        assert float(got) == pytest.approx(best)


def measure(error: float, mean: float = 0.01) -> Measure:
    return Measure(0.0, 0.0, error, 0.0, 0.0, 10 * error, 1.0, 1.0, 0.0, 0.0, 1.0, mean)


def run(rule: Adaptive, error: float, mean: float = 0.01) -> None:
    def measured(_: float) -> Asking[Measure]:
        yield
        return measure(error, mean)

    for _ in rule.update(measure(error, mean), False, measured):
        pass


def test_where_the_error_does_not_fall_the_barrier_problem_is_solved_first() -> None:
    rule = Adaptive(0.1, 1e-8, 4.0)
    for error in (1.0, 2.0, 1.5, 1.9)[:REMEMBERED]:  # it may rise, but not above all that is remembered
        run(rule, error)
        assert rule.limits is not None
    run(rule, 2.5)
    assert rule.limits is None
    assert rule.mu == pytest.approx(SHARE * 0.01)
    run(rule, 2.5, mean=7.0)
    assert rule.mu == pytest.approx(SHARE * 0.01)  # until it is solved
    run(rule, 1.6)
    assert rule.limits is not None


@pytest.mark.parametrize(
    ("barrier", "error", "message"),
    [
        ("adaptative", ValueError, r"^barrier: expected 'monotone' or 'adaptive', got 'adaptative'"),
        (0.1, TypeError, r"^barrier: expected a name, 'monotone' or 'adaptive', got float"),
    ],
)
def test_other_names_are_refused(barrier: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        banded.minimize(torch.sum, torch.zeros(3).double(), bounds=(0, 1), barrier=barrier)


def test_it_is_for_constraints_and_bounds() -> None:
    with pytest.raises(ValueError, match=r"^barrier: expected None without constraints or bounds, .* got 'adaptive'"):
        banded.minimize(lambda x: x.square().sum(), torch.zeros(3).double(), barrier="adaptive")
