"""Whether the band still holds where a minimisation ends."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Status
from kkt import assert_optimal
from oracles import chain, rosenbrock

N = 30


def along_the_way(x: Tensor) -> Tensor:
    """Springs to 200 each; the ends repel each other, but only once they have come far from where the start is."""
    pull = (x - 200).square().sum() + (x[1:] - x[:-1]).square().sum()
    return pull + (x[0] * x[-1] / 200 - 100).relu().square()


def hidden(x: Tensor) -> Tensor:
    """The Rosenbrock function couples nothing at 0, nor around it, where x counts in other units."""
    return rosenbrock(1e-12 * x)


def dense_minimum(f: Any, x: Tensor) -> Tensor:
    """Newton on the dense Hessian, from close by."""
    for _ in range(50):
        x = x - torch.linalg.solve(torch.func.hessian(f)(x), torch.func.grad(f)(x))
    return x


@pytest.mark.parametrize("method", ["direct", "symmetric", "auto"])
def test_a_term_that_appears_along_the_way_is_met_by_another_plan(method: str) -> None:
    start = torch.zeros(N, dtype=torch.float64)
    assert banded.plan(along_the_way, start).bandwidth == 1
    result = banded.minimize(along_the_way, start, method=method)
    assert result.status is Status.CONVERGED
    torch.testing.assert_close(result.x, dense_minimum(along_the_way, result.x))
    assert float(torch.func.grad(along_the_way)(result.x).abs().max()) <= 1e-8
    assert not banded.plan(along_the_way, start).leak(start, banded.hessian(along_the_way, start))


def test_the_history_goes_on_over_all_plans() -> None:
    result = banded.minimize(along_the_way, torch.zeros(N, dtype=torch.float64))
    history = result.history
    assert [record.iteration for record in history] == sorted(record.iteration for record in history)
    assert history[-1].iteration == result.iterations
    assert history[-1].value == result.value
    assert all(after.evaluations > before.evaluations for before, after in pairwise(history))


def test_a_band_that_was_given_is_kept_and_said_not_to_hold() -> None:
    start = torch.zeros(N, dtype=torch.float64)
    for options in ({"bandwidth": 1}, {"bandwidth": 1, "method": "symmetric"}):
        result = banded.minimize(along_the_way, start, **options)
        assert result.status is Status.BANDWIDTH
        assert not result.success
        assert "bandwidth" in str(result)
    result = banded.minimize(banded.plan(along_the_way, start), start)
    assert result.status is Status.BANDWIDTH
    assert banded.minimize(along_the_way, start, bandwidth=N - 1).status is Status.CONVERGED


def test_with_constraints_too() -> None:
    def rope(x: Tensor) -> Tensor:
        return (x[1:2] - x[0:1]) - 3

    start = torch.zeros(N, dtype=torch.float64)
    result = banded.minimize(along_the_way, start, equality=rope)
    assert result.status is Status.CONVERGED
    assert_optimal(along_the_way, result, equality=rope)
    given = banded.minimize(along_the_way, start, equality=rope, bandwidth=1)
    assert given.status is Status.BANDWIDTH


def test_a_term_that_comes_and_goes_ends_somewhere() -> None:
    """Each plan is made where the term is absent."""

    def shy(x: Tensor) -> Tensor:
        return chain(x - 1) + (x[:-20] * x[20:] - 0.5).relu().square().sum()

    result = banded.minimize(shy, torch.zeros(60, dtype=torch.float64))
    assert result.success
    assert float(torch.func.grad(shy)(result.x).abs().max()) < 1e-6


def test_the_check_costs_one_evaluation_and_nothing_in_runs_that_fail() -> None:
    x = torch.zeros(N, dtype=torch.float64)
    with torch.no_grad():  # else it takes one to see what f depends on
        result = banded.minimize(rosenbrock, x, max_iterations=3)
        assert result.evaluations == result.history[-1].evaluations
        result = banded.minimize(rosenbrock, x)
        assert result.evaluations == result.history[-1].evaluations + 1


def test_rounding_errors_at_the_end_are_no_other_band() -> None:
    y = 0.1 * torch.randn(100)

    def variation(x: Tensor) -> Tensor:
        return (x - y).square().sum() + ((x[1:] - x[:-1]).square() + 1e-6).sqrt().sum()

    for bandwidth in (None, 1):
        result = banded.minimize(variation, y, bandwidth=bandwidth, tolerance=1e-3)
        assert result.status is not Status.BANDWIDTH


def test_a_plan_of_a_batch_solves_batches_like_its_own() -> None:
    start = torch.linspace(-1, 1, 27, dtype=torch.float64).reshape(3, 9)
    plan = banded.plan(rosenbrock, start, batch_dims=1)
    results = banded.minimize(plan, start, batch_dims=1)
    assert bool(results.success.all())
    torch.testing.assert_close(results.x, torch.ones_like(start))
    with pytest.raises(ValueError, match=r"expected \(3, 9\)"):
        banded.minimize(plan, torch.zeros(9, dtype=torch.float64)[None])


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_a_band_that_hides_at_the_start_is_doubted_on_a_long_way(scale: float) -> None:
    x = torch.zeros(5, dtype=torch.float32)

    def f(x: Tensor) -> Tensor:
        return rosenbrock(scale * x)

    result = banded.minimize(f, x)
    assert result.status is Status.CONVERGED
    assert result.iterations < 150
    torch.testing.assert_close(scale * result.x, torch.ones(5))
    results = banded.minimize(f, x.repeat(3, 1), batch_dims=1)
    assert [one.iterations for one in results] == [result.iterations] * 3
    assert set(results.status) == {Status.CONVERGED}
    assert banded.minimize(f, x, bandwidth=0).status is Status.MAX_ITERATIONS  # as it was wanted


@pytest.mark.parametrize("batch_dims", [0, 1])
@pytest.mark.parametrize("most", [50, 100, 101, 105])
def test_steps_with_all_plans_count_towards_the_limit(most: int, batch_dims: int) -> None:
    """There is another plan after 100 of them."""
    start = torch.zeros((3,) * batch_dims + (5,), dtype=torch.float64)
    result: Any = banded.minimize(hidden, start, batch_dims=batch_dims, max_iterations=most)
    for one in result if batch_dims else [result]:
        assert one.iterations == most
        assert one.status is Status.MAX_ITERATIONS
        assert one.value == pytest.approx(float(hidden(one.x)), rel=1e-12)
        assert one.value == min(record.value for record in one.history)


@pytest.mark.parametrize("batch_dims", [0, 1])
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_end_anywhere_loses_the_best_point_over_all_plans(error: type[BaseException], batch_dims: int) -> None:
    """By a search whose steps may lead upwards; and while the second plan is made."""
    calls, when = 0, 10**9
    start = torch.zeros(N, dtype=torch.float64)
    options: Any = {"batch_dims": batch_dims, "globalisation": banded.LineSearch(memory=5)}

    def f(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        if calls == when:
            raise error
        return along_the_way(x)

    def best(when_: int) -> Any:
        nonlocal calls, when
        calls, when = 0, when_
        try:
            found: Any = banded.minimize(f, start.repeat(1, 1) if batch_dims else start, **options)
        except RuntimeError as caught:
            found = caught.result  # type: ignore[attr-defined]
        return found[0] if batch_dims else found

    whole = best(10**9)
    total, lowest = calls, float("inf")
    for stop in range(total, total // 2, -max(1, total // 12)):
        one = best(stop)
        assert one.value == pytest.approx(float(along_the_way(one.x)), rel=1e-12)
        assert one.value == pytest.approx(min(record.value for record in one.history), rel=1e-12)
        lowest = min(lowest, one.value)
    assert lowest == pytest.approx(whole.value, rel=1e-3)


def test_a_given_plan_is_not_doubted() -> None:
    far = torch.zeros(5, dtype=torch.float64)
    plan = banded.plan(hidden, far)
    assert banded.minimize(plan, far, max_iterations=200).status is Status.MAX_ITERATIONS
