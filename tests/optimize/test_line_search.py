"""Steps along a direction, each held against Armijo's and Wolfe's conditions, recomputed from the points."""

import signal
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import LineSearch, Result, Status
from oracles import rosenbrock, wells

ARMIJO, WOLFE = 1e-4, 0.9
Function = Callable[[Tensor], Tensor]


def log_cosh(x: Tensor) -> Tensor:
    return (x - 1).cosh().log().sum() + (x[1:] - x[:-1]).square().sum()


def barrier(x: Tensor) -> Tensor:
    return (100 * x - x.log()).sum() + (x[1:] - x[:-1]).square().sum()


def roots(x: Tensor) -> Tensor:
    return (x - 2 * x.sqrt()).sum()


def pits(x: Tensor) -> Tensor:
    """Flat from afar, where H is indefinite."""
    return (-1 / (1 + x.square())).sum()


CASES: list[tuple[Function, float]] = [(rosenbrock, 0.0), (wells, 0.1), (log_cosh, 3.0), (barrier, 1.0), (roots, 9.0)]
SEARCHES = [LineSearch(), LineSearch(wolfe=False), LineSearch(memory=10), LineSearch(wolfe=False, memory=10)]


def path(f: Function, start: float, search: LineSearch, n: int = 10) -> tuple[Result, list[Tensor]]:
    points: list[Tensor] = []
    result = banded.minimize(
        f,
        torch.full((n,), start, dtype=torch.float64),
        globalisation=search,
        callback=lambda x, record: points.append(x),
    )
    return result, points


def slopes(f: Function, here: Tensor, there: Tensor) -> tuple[float, float]:
    """Of f along the step from one point to the other, at both, times its length."""
    step = there - here
    slope: Any = torch.func.grad(f)
    return float(slope(here) @ step), float(slope(there) @ step)


@pytest.fixture
def alarmed() -> Iterator[None]:
    """An error in place of an endless loop."""

    def ring(number: int, frame: Any) -> None:
        raise TimeoutError("the minimisation goes on for ever")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(2)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(("f", "start"), CASES)
def test_accepted_steps_satisfy_armijos_condition(f: Function, start: float, search: LineSearch) -> None:
    result, points = path(f, start, search)
    assert result.success
    values = [float(f(x)) for x in points]
    assert [record.value for record in result.history] == pytest.approx(values, rel=1e-13, abs=1e-300)
    compared = 0
    for i, (here, there) in enumerate(pairwise(points)):
        slope, _ = slopes(f, here, there)
        reference = max(values[max(0, i + 1 - search.memory) : i + 1])
        if abs(slope) > 1e-10 * max(1.0, abs(values[i])):  # f tells the points apart
            assert values[i + 1] <= reference + ARMIJO * slope
            compared += 1
    assert compared >= 1


@pytest.mark.parametrize("memory", [1, 10])
@pytest.mark.parametrize(("f", "start"), [*CASES, (pits, 10.0)])
def test_accepted_steps_satisfy_wolfes_condition(f: Function, start: float, memory: int) -> None:
    result, points = path(f, start, LineSearch(memory=memory))
    assert result.success
    for here, there in pairwise(points):
        before, after = slopes(f, here, there)
        if abs(before) > 1e-10 * max(1.0, abs(float(f(here)))):
            assert after >= WOLFE * before


def test_only_wolfes_condition_makes_steps_longer_than_the_direction() -> None:
    for f, start in ((pits, 10.0), (wells, 0.1)):
        assert max(record.step for record in path(f, start, LineSearch())[0].history) > 1
        assert max(record.step for record in path(f, start, LineSearch(wolfe=False))[0].history) <= 1


def test_without_memory_f_only_falls() -> None:
    for wolfe in (True, False):
        result, _ = path(rosenbrock, 0.0, LineSearch(wolfe=wolfe), 30)
        assert all(after.value < before.value for before, after in pairwise(result.history))


@pytest.mark.parametrize("wolfe", [True, False])
def test_memory_lets_f_rise_and_solves(wolfe: bool) -> None:
    result, _ = path(rosenbrock, 0.0, LineSearch(wolfe=wolfe, memory=10), 30)
    assert result.status is Status.CONVERGED
    assert any(after.value > before.value for before, after in pairwise(result.history))
    np.testing.assert_allclose(result.x, 1, rtol=1e-7)


def test_the_point_that_is_returned_is_the_best_even_where_f_rose() -> None:
    """Status.MAX_ITERATIONS: "x is the best point so far"."""
    start = torch.zeros(30, dtype=torch.float64)
    for limit in range(1, 15):
        result = banded.minimize(rosenbrock, start, globalisation=LineSearch(memory=10), max_iterations=limit)
        assert result.value == min(record.value for record in result.history)


def test_memory_is_of_one_minimisation() -> None:
    search = LineSearch(memory=10)
    first, _ = path(rosenbrock, 0.0, search)
    path(lambda x: 1e6 + wells(x), 0.1, search)
    again, _ = path(rosenbrock, 0.0, search)
    assert [record.value for record in first.history] == [record.value for record in again.history]


@pytest.mark.parametrize("memory", [0, -1])
def test_a_memory_of_nothing(memory: int) -> None:
    with pytest.raises(ValueError, match=f"memory: expected 1 or more values, got {memory}"):
        LineSearch(memory=memory)


@pytest.mark.parametrize("memory", ["3", 1.5, None])
def test_a_memory_that_is_no_whole_number(memory: Any) -> None:
    with pytest.raises(TypeError, match="memory"):
        LineSearch(memory=memory)


@pytest.mark.parametrize("search", SEARCHES[:3])
@pytest.mark.parametrize("scale", [1e-300, 1e-12, 1e12, 1e250])
@pytest.mark.parametrize(("f", "start"), CASES)
def test_the_units_of_f_do_not_matter(f: Function, start: float, scale: float, search: LineSearch) -> None:
    plain, _ = path(f, start, search)
    scaled, _ = path(lambda x: scale * f(x), start, search)
    assert scaled.success
    assert abs(scaled.iterations - plain.iterations) <= 3
    torch.testing.assert_close(scaled.x, plain.x, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("globalisation", ["line search", "trust region"])
@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_units_of_f_do_not_matter_where_h_vanishes_at_the_minimum(scale: float, globalisation: str) -> None:
    def quartic(x: Tensor) -> Tensor:
        return ((x - 1) ** 4).sum()

    start = torch.full((6,), 3.0, dtype=torch.float64)
    plain = banded.minimize(quartic, start, globalisation=globalisation)
    scaled = banded.minimize(lambda x: scale * quartic(x), start, globalisation=globalisation)
    assert scaled.success
    assert abs(scaled.iterations - plain.iterations) <= 5
    np.testing.assert_allclose(scaled.x, 1, atol=1e-2)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("f", "minimum"),
    [
        (lambda x: x.abs().sum() + 0.01 * x.square().sum(), 0.0),
        (lambda x: (x - 1).abs().sum() + (x[1:] - x[:-1]).square().sum(), 1.0),
        (lambda x: x.relu().sum() * 5 + (x + 1).square().sum() - 4 * x.sum(), 0.0),
    ],
)
def test_kinks_end_and_are_never_called_a_minimum(f: Function, minimum: float, search: LineSearch) -> None:
    result, _ = path(f, 0.7, search, 5)
    assert result.iterations < 300 or search.memory > 1
    assert result.value <= float(f(torch.full((5,), 0.7, dtype=torch.float64)))
    if result.success:  # then by hitting the kink, where autograd's derivative is 0
        np.testing.assert_allclose(result.x, minimum, atol=1e-7)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("f", "start", "minimum"),
    [
        (lambda x: (100 * x - x.log()).sum(), 1.0, 0.01),
        (roots, 9.0, 1.0),
        (lambda x: (x * x.log()).sum(), 5.0, np.exp(-1)),
        (lambda x: (-(1 - x).log() - 3 * (1 + x).log()).sum(), 0.999, 0.5),
    ],
)
def test_domains_that_end_are_not_left(f: Function, start: float, minimum: float, search: LineSearch) -> None:
    result, points = path(f, start, search, 4)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, minimum, rtol=1e-6)
    assert all(bool(f(x).isfinite()) for x in points)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("n", [1, 4])
def test_a_value_of_minus_infinity_is_a_fall_without_limit(n: int, search: LineSearch) -> None:
    result, _ = path(lambda x: torch.where(x < 0.5, -torch.inf, x.square()).sum(), 1.0, search, n)
    assert result.status is Status.UNBOUNDED
    assert result.value == n
    np.testing.assert_array_equal(result.x, 1)


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize(
    ("f", "start", "minimum"),
    [
        (lambda x: (x.exp() - x).sum(), -20.0, 0.0),
        (lambda x: (x.exp() - x).sum(), -50.0, 0.0),
        (lambda x: (x.exp() + (-x).exp()).sum(), 700.0, 0.0),
        (lambda x: x.square().exp().sum(), 15.0, 0.0),
    ],
)
def test_steps_to_where_f_overflows_are_shortened(
    f: Function, start: float, minimum: float, search: LineSearch
) -> None:
    """From -50, e^x - x promises a step of 5e21, which takes 63 halvings."""
    result, points = path(f, start, search, 3)
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, minimum, atol=1e-6)
    assert all(bool(f(x).isfinite()) for x in points)


@pytest.mark.usefixtures("alarmed")
@pytest.mark.parametrize("search", ["line search", "trust region"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shifts_that_overflow_are_no_endless_loop(dtype: torch.dtype, search: str) -> None:
    """H = -h I, with h so close to the largest number that there is that ten times h is infinite."""
    half = 0.4 * torch.finfo(dtype).max
    result = banded.minimize(
        lambda x: half * ((x - 1).square() * -0.5 + 1e-4 * (x - 1) ** 4).sum(),
        torch.full((2,), 1 + 1e-3, dtype=dtype),
        globalisation=search,
        bandwidth=0,
        max_iterations=50,
    )
    assert bool(torch.isfinite(result.x).all())


@pytest.mark.usefixtures("alarmed")
@pytest.mark.parametrize("search", SEARCHES[:2])
@pytest.mark.parametrize("f", [lambda x: x.log().sum(), lambda x: x.sqrt().sum(), lambda x: (x**3).sum()])
def test_functions_that_fall_to_the_edge_or_for_ever_are_no_success(f: Function, search: LineSearch) -> None:
    result, _ = path(f, 1.0 if f(-torch.ones(1)).isnan() else -1.0, search, 3)
    assert result.status in (Status.UNBOUNDED, Status.NON_FINITE)
    assert bool(torch.isfinite(result.x).all())
    assert np.isfinite(result.value)
