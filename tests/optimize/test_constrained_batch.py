"""Batches with constraints, against the same problems one by one, and warm starts."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Status
from banded.optimize.interior.questions import Step, Which
from banded.optimize.interior.workspace import Interior
from banded.problems import PROBLEMS

NODES, STEP = 12, 1 / 12


def pendulum(s: Tensor, u: Tensor) -> Tensor:
    return torch.stack([s[:, 1], u - 5 * torch.sin(s[:, 0])], 1)


def effort(z: Tensor, start: Tensor) -> Tensor:
    return STEP * z[:, 2].square().sum()


def defects(z: Tensor, start: Tensor) -> dict[str, Tensor]:
    s, slope = z[:, :2], pendulum(z[:, :2], z[:, 2])
    return {
        "motion": s[1:] - s[:-1] - STEP / 2 * (slope[1:] + slope[:-1]),
        "start": s[0] - start,
        "end": s[-1] - torch.tensor([math.pi, 0], dtype=s.dtype),
    }


def starts(count: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = 0.4 * torch.randn(count, 2, generator=generator, dtype=torch.float64)
    return first, torch.zeros(count, NODES + 1, 3, dtype=torch.float64)


def solved(first: Tensor, guess: Tensor, limit: float, **options: Any) -> Any:
    return banded.minimize(
        effort, guess, args=(first,), equality=defects, bounds=(None, torch.tensor([9.0, 99, limit])), **options
    )


@pytest.mark.parametrize("limit", [99.0, 12.0])
def test_a_batch_is_its_problems_one_by_one(limit: float) -> None:
    first, guess = starts(7)
    first[3, 0] = 20.0  # beyond its bound: infeasible
    results = solved(first, guess, limit, batch_dims=1)
    for number in range(7):
        alone = solved(first[number], guess[number], limit)
        together = results[number]
        assert (together.status, together.iterations) == (alone.status, alone.iterations)
        torch.testing.assert_close(together.x, alone.x, rtol=1e-7, atol=1e-7)
        assert together.value == pytest.approx(alone.value, rel=1e-7)
        assert together.violation == pytest.approx(alone.violation, rel=1e-3, abs=1e-9)
        if alone.success:
            assert together.multipliers is not None
            assert alone.multipliers is not None
            torch.testing.assert_close(vars(together.multipliers), vars(alone.multipliers), rtol=1e-4, atol=1e-6)
    assert results[3].status is Status.INFEASIBLE
    assert "start" in results[3].conditions.worst(1)[0].name
    assert int(results.success.sum()) == 6


@pytest.mark.parametrize("far", [0.3, 2.0])
def test_restoration_in_a_batch_is_that_of_each_problem(far: float) -> None:
    """Two of four products cannot be had within the box: their restoration stays near where it began, as alone."""
    product = torch.tensor([0.5, 3.0, -2.0, 0.1], dtype=torch.float64)
    start = far * torch.tensor([1.0, -0.7, 1.6], dtype=torch.float64)
    options: dict[str, Any] = {"equality": lambda x, p: x[:1] * x[1:2] - p, "bounds": (-1, 1.2)}

    def f(x: Tensor, p: Tensor) -> Tensor:
        return (x - 2).square().sum() + x.diff().square().sum()

    results = banded.minimize(f, start.expand(4, 3), args=(product,), batch_dims=1, **options)
    assert results[1].status is results[2].status is Status.INFEASIBLE
    for number, together in enumerate(results):
        alone = banded.minimize(f, start, args=(product[number],), **options)
        assert (together.status, together.iterations) == (alone.status, alone.iterations)
        torch.testing.assert_close(together.x, alone.x, rtol=0, atol=1e-7)


@pytest.mark.parametrize("seed", [0, 4, 11])
def test_a_bad_system_of_one_problem_is_no_other_s(seed: int) -> None:
    """Where equations cannot be met, ε is chosen anew, step after step: for the problem alone that wants it."""
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([[1.0], [5.0], [-20.0], [100.0]], dtype=torch.float64)
    data = size * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    options: dict[str, Any] = {"equality": lambda x, p: x[1:] + p[1:] * x[:-1] - p[:-1], "bounds": (-1, 2)}

    def f(x: Tensor, p: Tensor) -> Tensor:
        return x.exp().sum() + x.diff().square().sum()

    results = banded.minimize(f, torch.zeros_like(data), args=(data,), batch_dims=1, **options)
    for number, together in enumerate(results):
        alone = banded.minimize(f, torch.zeros_like(data[0]), args=(data[number],), **options)
        assert (together.status, together.iterations) == (alone.status, alone.iterations)
        torch.testing.assert_close(together.x, alone.x, rtol=0, atol=1e-9)


def test_restoration_again_leaves_the_regular_phase_where_it_is() -> None:
    """All problems take over where restoration was, which goes on with one of them alone."""
    start = torch.tensor([[2.0, 1.0, 0.5], [1.0, 2.0, 3.0]], dtype=torch.float64)
    options: dict[str, Any] = {"equality": lambda x: x[1:] * x[:-1] - 2, "batch_dims": 1}
    plan = banded.plan_constrained(lambda x: x.square().sum(), start, **options)
    interior = Interior(plan, start, torch.full_like(start, -5), torch.full_like(start, 5), {})

    def step(rows: Tensor | None) -> None:
        count = 2 if rows is None else len(rows)
        for kind, numbers in {
            Step.DIRECTION: (1.0, 0.9, 1.0, 0.0),
            Step.LOOK: (0.1, 1.0),
            Step.TAKE: (0.1, 1.0),
        }.items():
            interior.answer(Which(1, kind), rows, [numbers] * count)

    first = torch.tensor([0])
    interior.answer(Which(0, Step.ENTER), None, [(1.0,)] * 2)
    step(first)
    interior.answer(Which(0, Step.LEAVE), None, [(1.0, 0.9)] * 2)
    before = interior.points([False], first).clone()
    interior.answer(Which(0, Step.ENTER), first, [(1.0,)])
    step(first)
    torch.testing.assert_close(interior.points([False], first), before, rtol=0, atol=0)
    assert not torch.equal(interior.points([True], first), before)


def test_bounds_of_each_problem() -> None:
    upper = torch.tensor([[0.5], [2.0], [0.1]], dtype=torch.float64)
    results = banded.minimize(
        lambda x: (x - 1).square().sum(), torch.zeros(3, 5, dtype=torch.float64), bounds=(None, upper), batch_dims=1
    )
    torch.testing.assert_close(results.x, upper.clamp(max=1).expand(3, 5), rtol=0, atol=1e-7)


def test_a_limit_ends_problems_where_they_are() -> None:
    first, guess = starts(3)
    results = solved(first, guess, 99.0, batch_dims=1, max_iterations=2)
    assert set(results.status) == {Status.MAX_ITERATIONS}
    assert [one.iterations for one in results] == [2, 2, 2]
    assert all(one.violation is not None for one in results)


@pytest.mark.parametrize("limit", [3, 5, 12])
def test_multipliers_belong_to_the_best_point(limit: int) -> None:
    """Which need not be the last one."""
    data = torch.tensor([[0.5, 3.0, -2.0, 0.1], [4.0, -9.0, 5.0, 1.0]], dtype=torch.float64)
    options: dict[str, Any] = {"equality": lambda x, p: (x[1:] * x[:-1] - p[:-1]).sin(), "bounds": (-1, 5)}
    start = torch.tensor([3.0, -0.4, 2.0, 1.0], dtype=torch.float64)
    options |= {"max_iterations": limit}

    def f(x: Tensor, p: Tensor) -> Tensor:
        return (x - p).square().sum() + x.diff().exp().sum()

    results = banded.minimize(f, start.expand(2, 4), args=(data,), batch_dims=1, **options)
    for number, together in enumerate(results):
        alone = banded.minimize(f, start, args=(data[number],), **options)
        torch.testing.assert_close(together.x, alone.x, rtol=0, atol=1e-9)
        torch.testing.assert_close(vars(together.multipliers), vars(alone.multipliers), rtol=1e-6, atol=1e-6)
        assert together.gradient_norm == pytest.approx(alone.gradient_norm, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize(("name", "nodes"), [("cartpole", 40), ("pentdi", 100), ("liswet1", 100), ("dtoc1l", 50)])
def test_a_warm_start_takes_a_third_of_the_iterations(name: str, nodes: int) -> None:
    problem = PROBLEMS[name](nodes)
    generator = torch.Generator().manual_seed(0)
    push = 1e-4 * torch.randn(problem.start.shape, generator=generator, dtype=torch.float64)
    options: dict[str, Any] = {
        "equality": problem.equality,
        "inequality": problem.inequality,
        "bounds": problem.bounds,
    }
    known = banded.minimize(problem.objective, problem.start, **options)

    def moved(x: Tensor) -> Tensor:
        return problem.objective(x) + (push * x).sum()

    cold = banded.minimize(moved, problem.start, **options)
    warm = banded.minimize(moved, known.x, warm_start=known, **options)
    assert warm.status is Status.CONVERGED
    assert warm.value == pytest.approx(cold.value, rel=1e-7)
    assert 3 * warm.iterations <= cold.iterations


def test_the_same_problem_again_takes_next_to_nothing() -> None:
    problem = PROBLEMS["corkscrw"](20)
    known = problem.solve()
    again = banded.minimize(
        problem.objective,
        known.x,
        equality=problem.equality,
        inequality=problem.inequality,
        bounds=problem.bounds,
        warm_start=known,
    )
    assert again.status is Status.CONVERGED
    assert again.iterations <= 2


def test_a_batch_starts_warm() -> None:
    first, guess = starts(3)
    known = solved(first, guess, 12.0, batch_dims=1)
    warm = solved(first + 1e-3, known.x.detach(), 12.0, batch_dims=1, warm_start=known)
    cold = solved(first + 1e-3, guess, 12.0, batch_dims=1)
    assert bool(warm.success.all())
    assert all(3 * a.iterations <= b.iterations for a, b in zip(warm, cold, strict=True))


def test_a_warm_start_must_fit() -> None:
    x = torch.zeros(5, dtype=torch.float64)
    known = banded.minimize(lambda x: x.square().sum(), x, equality=lambda x: x[:2] - 1)
    with pytest.raises(ValueError, match="warm_start: expected the result of a problem with 3 constraints"):
        banded.minimize(lambda x: x.square().sum(), x, equality=lambda x: x[:3] - 1, warm_start=known)
    with pytest.raises(TypeError, match="warm_start: expected what minimize returned, Result, got Tensor"):
        banded.minimize(lambda x: x.square().sum(), x, equality=lambda x: x[:3] - 1, warm_start=x)  # type: ignore[call-overload]
