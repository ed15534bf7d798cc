"""The orders of the schemes, by halving the step, and costates as derivatives of the least cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import pytest
import torch
from moves import block, pendulum
from torch import Tensor

from banded import ControlProblem, HermiteSimpson, Midpoint, RungeKutta, Scheme, Solution
from banded.control.schemes import SCHEMES

LINEAR, HELD = HermiteSimpson(controls="linear"), RungeKutta(controls="constant")
ALL: dict[str, Scheme] = {**SCHEMES, "hermite-simpson, linear": LINEAR, "rk4, constant": HELD}
ORDERS = {name: 2 if one is HELD else one.order for name, one in ALL.items()}
Grid = Callable[[int], Tensor]


def even(nodes: int) -> Tensor:
    return torch.linspace(0, 1, nodes, dtype=torch.float64)


def uneven(nodes: int) -> Tensor:
    """Of lengths that differ by a factor of five."""
    s = even(nodes)
    return s + (2 * math.pi * s).sin() / 9


def solved(problem: ControlProblem, scheme: Scheme, grid: Tensor, **given: Any) -> Solution:
    found = problem.solve(scheme=scheme, grid=grid, tolerance=1e-11, progress=False, **given)
    assert isinstance(found, Solution)
    assert found.success
    return found


def regulator() -> ControlProblem:
    """x' = u with ∫ (x² + u²)/2 dt least: x = cosh(1 - t)/cosh 1, λ = -u = tanh(1 - t) x, at the cost of tanh(1)/2."""
    return ControlProblem(
        dynamics=lambda x, u: u,
        states=1,
        controls=1,
        running_cost=lambda x, u: (x.square() + u.square()).sum() / 2,
        initial_state=[1],
    )


def swing(**changed: Any) -> ControlProblem:
    """A pendulum, raised by a torque without bounds."""
    return pendulum(**{"control_bounds": None, "duration": 3.0, "final_state": [2, 0], **changed})


def hurried() -> ControlProblem:
    """The same in a time that is to be found."""
    return swing(running_cost=lambda x, u: 5 + u.square().sum(), duration=(0.5, 6))


@cache
def fine(make: Callable[[], ControlProblem]) -> Solution:
    return solved(make(), HermiteSimpson(), even(641))


def errors(problem: ControlProblem, scheme: Scheme, grid: Tensor) -> list[float]:
    """Of states, of the cost, and of an interval as the solution tells it."""
    found = solved(problem, scheme, grid)
    exact = torch.cosh(1 - found.t[:, None]) / math.cosh(1)
    return [float((found.x - exact).abs().max()), abs(found.cost - math.tanh(1) / 2)]


def errors_beside(make: Callable[[], ControlProblem], scheme: Scheme, grid: Tensor) -> list[float]:
    """The same beside a very fine solution; with what the solution says of the worst interval, and the duration."""
    found, exact = solved(make(), scheme, grid), fine(make)
    x = exact((found.t * exact.duration / found.duration).clamp(max=exact.duration)).x
    told = [float((found.x - x).abs().max()), abs(found.cost - exact.cost), found.accuracy]
    return told if make is swing else [*told, abs(found.duration - exact.duration)]


def halved(errors: Callable[[Tensor], list[float]], grid: Grid, nodes: int) -> list[float]:
    """By which power of two the errors fall."""
    before, after = errors(grid(nodes)), errors(grid(2 * nodes - 1))
    return [math.log2(one / other) for one, other in zip(before, after, strict=True)]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("grid", [even, uneven])
def test_the_order_beside_a_closed_form(name: str, grid: Grid) -> None:
    orders = halved(partial(errors, regulator(), ALL[name]), grid, 21)
    assert orders == pytest.approx([ORDERS[name]] * 2, abs=0.06 if grid is even else 0.5)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("grid", [even, uneven])
def test_the_order_of_a_swing(name: str, grid: Grid) -> None:
    """Of the states and the cost; and that of an interval's error, which the refinement of grids goes by."""
    states, cost, interval = halved(partial(errors_beside, swing, ALL[name]), grid, 33)
    assert [states, cost] == pytest.approx([ORDERS[name]] * 2, abs=0.15 if grid is even else 0.35)
    assert interval == pytest.approx(ALL[name].defect, abs=0.1)


@pytest.mark.parametrize("name", ALL)
def test_the_error_that_is_told_falls_as_the_motion_comes_nearer(name: str) -> None:
    """All intervals' errors together; of schemes of order 4 the worst one, for theirs add up to order 3."""

    def told(grid: Tensor) -> list[float]:
        found = solved(swing(), ALL[name], grid)
        return [float(found.error.sum()), found.accuracy, found.simulate(1e-12).gap]

    whole, worst, gap = halved(told, even, 33)
    cubic = ALL[name].order == 4
    assert gap == pytest.approx(ALL[name].order, abs=0.1)
    assert (worst if cubic else whole) == pytest.approx(gap, abs=0.1)
    assert whole == pytest.approx(ALL[name].defect - 1, abs=0.1)


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_a_duration_that_is_found(name: str) -> None:
    *_, cost, _, duration = halved(partial(errors_beside, hurried, ALL[name]), even, 49)
    assert [cost, duration] == pytest.approx([ORDERS[name]] * 2, abs=0.25)


@pytest.mark.parametrize("scheme", [HermiteSimpson(), LINEAR, RungeKutta()])
def test_cubics_are_exact(scheme: Scheme) -> None:
    """The block's states are cubic, and its force linear; on any grid."""
    found = solved(block(), scheme, uneven(6))
    t = found.t
    torch.testing.assert_close(found.x, torch.stack([3 * t**2 - 2 * t**3, 6 * t - 6 * t**2], 1), atol=1e-10, rtol=0)
    torch.testing.assert_close(found.u[:, 0], 6 - 12 * t, atol=1e-8, rtol=0)
    assert found.cost == pytest.approx(12, abs=1e-9)
    assert found.accuracy < 1e-10


def test_the_trapezoidal_rule_costs_what_its_formula_says() -> None:
    for intervals in (5, 20):
        found = solved(block(), SCHEMES["trapezoidal"], even(intervals + 1))
        assert found.cost == pytest.approx(12 / (1 - 4 / intervals**2 + 3 / intervals**3), rel=1e-9)


def test_the_midpoint_rule_keeps_quadratic_invariants() -> None:
    """It is symplectic: a free oscillator swings as high after fifty turns as at the start."""
    oscillator = ControlProblem(
        dynamics=lambda x, u: torch.stack([x[1], -x[0]]), states=2, initial_state=[1, 0], duration=100 * math.pi
    )
    energies = {name: solved(oscillator, ALL[name], even(1001)).x.square().sum(1) for name in ("midpoint", "rk4")}
    torch.testing.assert_close(energies["midpoint"], torch.ones(1001, dtype=torch.float64), rtol=0, atol=1e-9)
    assert float(energies["rk4"][-1]) < 0.999


def test_controls_are_where_the_scheme_says() -> None:
    for name, one in ALL.items():
        found = solved(swing(), one, even(7))
        t = torch.tensor([0.1, 0.25, 0.4], dtype=torch.float64)
        first, middle, last = found(t).u[:, 0].tolist()
        assert found.curves.u.shape[1] == {"hermite-simpson": 3, "hermite-simpson, linear": 3}.get(
            name, 1 if one.is_held else 2
        )
        if one.is_held:
            assert first == middle == last == float(found.u[0, 0])
            assert float(found.u[-1, 0]) == pytest.approx(float(found.u[-2, 0]), abs=1e-12)
        elif name != "hermite-simpson":
            assert middle == pytest.approx((first + last) / 2, abs=1e-9)


def tug(**changed: Any) -> ControlProblem:
    """All kinds of ends: the first state is given, of the last one the angle, and the rate costs."""
    return swing(
        **{
            "initial_state": [0.3, 0.1],
            "final_state": [2, math.nan],
            "running_cost": lambda x, u: u.square().sum() + x[0].square(),
            "final_cost": lambda x: (x[1] - 1).square(),
            **changed,
        }
    )


@pytest.mark.parametrize("name", ALL)
def test_costates_at_the_ends_are_derivatives_of_the_least_cost(name: str) -> None:
    """λ(0) = dJ/dx(0), and λ(T) = dΦ/dx where the end is free, -dJ/dx(T) where it is given."""
    problem, step, s = tug(), 1e-4, uneven(12)
    found = solved(problem, ALL[name], s)

    def slope(end: str, state: int) -> float:
        costs = []
        for sign in (1, -1):
            ends: dict[str, Any] = {"initial_state": [0.3, 0.1], "final_state": [2.0, math.nan]}
            ends[end][state] += sign * step
            costs.append(solved(problem, ALL[name], s, **ends).cost)
        return (costs[0] - costs[1]) / (2 * step)

    slopes = [slope("initial_state", 0), slope("initial_state", 1)]
    assert found.costates[0].tolist() == pytest.approx(slopes, rel=1e-6)
    last = [-slope("final_state", 0), 2 * float(found.x[-1, 1] - 1)]
    assert found.costates[-1].tolist() == pytest.approx(last, rel=1e-6)


@pytest.mark.parametrize("name", ALL)
def test_costates_within_are_those_of_the_rest(name: str) -> None:
    """Exact where controls are held and a step knows its beginning only; else to the order of the scheme, 2 at most."""
    step, one = 1e-4, ALL[name]
    found = solved(tug(), one, even(33))
    rest = tug(duration=float(found.t[-1] - found.t[8]))
    slopes = []
    for state in range(2):
        costs = []
        for sign in (1, -1):
            moved = found.x[8].clone()
            moved[state] += sign * step
            costs.append(solved(rest, one, even(25), initial_state=moved.tolist()).cost)
        slopes.append((costs[0] - costs[1]) / (2 * step))
    exact = one.is_held and not isinstance(one, Midpoint)
    assert found.costates[8].tolist() == pytest.approx(slopes, rel=1e-6 if exact else 1e-2)


@pytest.mark.parametrize("name", ["trapezoidal", "hermite-simpson", "midpoint", "rk4"])
def test_costates_within_converge(name: str) -> None:
    def errors(grid: Tensor) -> list[float]:
        found = solved(regulator(), ALL[name], grid)
        exact = torch.tanh(1 - found.t) * torch.cosh(1 - found.t) / math.cosh(1)
        return [float((found.costates[:, 0] - exact).abs().max())]

    assert halved(errors, even, 21)[0] > 1.8 or errors(even(21))[0] < 1e-5


@pytest.mark.parametrize("name", ALL)
def test_costates_of_a_loop_close(name: str) -> None:
    """The end of a day is the start of the next: λ(0) = λ(T), and the mean of both neighbours, nearly."""

    def loss(x: Tensor, u: Tensor, t: Tensor) -> Tensor:
        return u[0].square() + (x[0] - (2 * math.pi * t).sin()).square()

    loop = ControlProblem(dynamics=lambda x, u: u - x, states=1, controls=1, running_cost=loss, periodic=True)
    costate = solved(loop, ALL[name], even(41)).costates[:, 0]
    assert float(costate[0]) == pytest.approx(float(costate[-1]), abs=1e-7)
    assert float(costate[0]) == pytest.approx(float(costate[1] + costate[-2]) / 2, rel=0.02)
    assert float(costate[0].abs()) > 0.1
