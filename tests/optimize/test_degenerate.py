"""Constraints that depend on each other, leave no room or have no multipliers, and other trials of the method."""

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
from banded import Result, Status
from kkt import assert_optimal, conditions
from targets import WANTED, ZERO, distance, point


class Case(NamedTuple):
    """A problem with its minimum, worked out by hand."""

    f: Callable[[Any], Tensor]
    start: Tensor
    limits: dict[str, Any]
    minimum: Tensor

    def solve(self, **options: Any) -> Result:
        result: Result = banded.minimize(self.f, self.start, **self.limits, **options)
        return result


REGULAR = {  # with multipliers
    "redundant": Case(
        distance,
        ZERO,
        {"equality": lambda x: torch.stack([x[0] + x[1] - 1, 2 * x[0] + 2 * x[1] - 2])},
        point(0, 1, 3, 4),
    ),
    "one of three depends on the others": Case(
        distance,
        ZERO,
        {"equality": lambda x: torch.stack([x[0] + x[1] - 1, x[1] + x[2] - 2, x[0] + 2 * x[1] + x[2] - 3])},
        point(2 / 3, 1 / 3, 5 / 3, 4),
    ),
    "redundant and curved": Case(
        distance,
        point(1, 1, 0, 0),
        {"equality": lambda x: (x[0] ** 2 + x[1] ** 2 - 1) * point(1, 2)},
        point(0.2**0.5, 0.8**0.5, 3, 4),
    ),
    "as many equalities as unknowns": Case(
        distance, ZERO, {"equality": lambda x: x - point(1, 2, 0, 0)}, point(1, 2, 0, 0)
    ),
    "more of them": Case(distance, ZERO, {"equality": lambda x: torch.cat([x - 1, x[:1] - x[1:2]])}, ZERO + 1),
    "all active at the start": Case(
        distance, ZERO, {"inequality": lambda x: torch.cat([x[:2], 1 - x]), "bounds": (0.0, 1.5)}, ZERO + 1
    ),
    "some fixed": Case(
        distance,
        ZERO,
        {"equality": lambda x: x[:1] + x[1:2] - 1, "bounds": (point(1, -inf, 0, 0), point(1, inf, 1, 1))},
        point(1, 0, 1, 1),
    ),
    "all fixed": Case(distance, ZERO, {"bounds": (1.5, 1.5)}, ZERO + 1.5),
    "all fixed where the equality holds": Case(
        distance, ZERO, {"bounds": (1.5, 1.5), "equality": lambda x: x[:1] - 1.5}, ZERO + 1.5
    ),
    "start far outside": Case(distance, point(1e6, -1e6, 1e8, 0), {"bounds": (0.0, 2.5)}, point(1, 2, 2.5, 2.5)),
    "bounds that are none": Case(distance, ZERO, {"bounds": (-inf, inf)}, WANTED),
    "bounds far away": Case(distance, ZERO, {"bounds": (-1e20, 1e20)}, WANTED),
    "a tiny box": Case(distance, ZERO, {"bounds": (1.0, 1 + 1e-9)}, ZERO + 1),
    "linear objective": Case(
        lambda x: -x.sum(),
        ZERO,
        {
            "inequality": lambda x: torch.stack([4 - x[0] - 2 * x[1], 3 - x[1] - x[2], 2 - x[3]]),
            "bounds": (0.0, None),
        },
        point(4, 0, 3, 2),
    ),
    "linear objective in a box": Case(
        lambda x: (x * point(-1, 1, 2, -3)).sum(), ZERO, {"bounds": (-1.0, 2.0)}, point(2, -1, -1, 2)
    ),
    "Maratos": Case(
        lambda x: 2 * (x.square().sum() - 1) - x[0],
        point(0.8, 0.6),
        {"equality": lambda x: x.square().sum()[None] - 1},
        point(1, 0),
    ),
    "steep objective, flat equality": Case(
        lambda x: 1e8 * (x - 1).square().sum(),
        ZERO,
        {"equality": lambda x: 1e-6 * (x[:1] - x[1:2] - 1)},
        point(1.5, 0.5, 1, 1),
    ),
    "flat objective, steep equality": Case(
        lambda x: 1e-6 * (x - 1).square().sum(),
        ZERO,
        {"equality": lambda x: 1e8 * (x[:1] - x[1:2] - 1)},
        point(1.5, 0.5, 1, 1),
    ),
    "one unknown and a bound": Case(lambda x: (x[0] - 3) ** 2, point(0), {"bounds": (0.0, 1.0)}, point(1)),
    "one unknown and an equality": Case(
        lambda x: (x[0] - 3) ** 2, point(1), {"equality": lambda x: x**2 - 4}, point(2)
    ),
    "one unknown and an inequality": Case(
        lambda x: (x[0] - 3) ** 2, point(1), {"inequality": lambda x: 4 - x**2}, point(2)
    ),
    "a number": Case(
        lambda x: (x - 3) ** 2, torch.tensor(1.0, dtype=torch.float64), {"bounds": (0.0, 2.0)}, point(2)[0]
    ),
    "the equality is stationary at the start": Case(
        lambda x: (x - 3).square().sum(), point(0, 0), {"equality": lambda x: x.square().sum()[None] - 2}, point(1, 1)
    ),
    "concave in a box": Case(lambda x: -x.square().sum(), ZERO + 0.1, {"bounds": (-1.0, 2.0)}, ZERO + 2),
}


@pytest.mark.parametrize("name", REGULAR)
def test_minima_with_multipliers(name: str) -> None:
    case = REGULAR[name]
    result = case.solve()
    assert result.status is Status.CONVERGED
    np.testing.assert_allclose(result.x, case.minimum, atol=1e-4)  # active with z = 0, x - lower is that large
    assert result.value == pytest.approx(float(case.f(case.minimum)), rel=1e-8, abs=1e-8)
    assert result.iterations < 50
    assert not str(result.violation).startswith("-")  # such as -0.0
    assert_optimal(case.f, result, **case.limits)


POOR = {  # without a point inside, or without multipliers, so that only digits of x can be asked for
    "an inequality and its opposite": (
        Case(
            distance, ZERO, {"inequality": lambda x: torch.stack([x[0] - 1.5, 1.5 - x[0], x[1]])}, point(1.5, 2, 3, 4)
        ),
        1e-6,
    ),
    "bounds and an equality meet in one point": (
        Case(
            distance,
            ZERO,
            {"equality": lambda x: x[:1] + x[1:2] - 2, "bounds": (0.0, point(1, 1, inf, inf))},
            point(1, 1, 3, 4),
        ),
        1e-6,
    ),
    "a disc without radius": (  # of 1e-4, as the tolerance of 1e-8 on its square has it
        Case(
            distance,
            point(1, 1, 0, 0),
            {"inequality": lambda x: torch.stack([-(x[0] ** 2) - x[1] ** 2, x[2]])},
            point(0, 0, 3, 4),
        ),
        2e-4,
    ),
    "a cusp": (
        Case(lambda x: x[0], point(1, 1), {"inequality": lambda x: torch.stack([x[0] ** 3 - x[1], x[1]])}, point(0, 0)),
        3e-3,  # (1e-8)^(1/3)
    ),
    "complementarity": (
        Case(
            lambda x: (x[0] - 1) ** 2 + (x[1] - 2) ** 2,
            point(2, 1),
            {"inequality": lambda x: torch.stack([x[0], x[1], -x[0] * x[1]])},
            point(0, 2),
        ),
        1e-4,
    ),
    "complementarity as an equality": (
        Case(
            lambda x: (x[0] - 1) ** 2 + (x[1] - 2) ** 2,
            point(2, 1),
            {"equality": lambda x: x[:1] * x[1:], "bounds": (0.0, None)},
            point(0, 2),
        ),
        1e-4,
    ),
    "a square": (Case(distance, ZERO, {"equality": lambda x: x[:2] ** 2}, point(0, 0, 3, 4)), 2e-4),
}


@pytest.mark.parametrize("name", POOR)
def test_minima_without_room_or_without_multipliers(name: str) -> None:
    case, digits = POOR[name]
    result = case.solve()
    assert result.success
    np.testing.assert_allclose(result.x, case.minimum, atol=digits)
    assert result.iterations < 150
    assert result.violation is not None
    assert result.violation <= 2e-8
    assert conditions(case.f, result, **case.limits).sign > -1e-8


def test_a_row_that_is_never_near_does_not_count() -> None:
    for far in (1e3, 1e6, 1e30):
        limits: dict[str, Any] = {"inequality": lambda x, far=far: x[:2] + far}
        result = banded.minimize(distance, ZERO, **limits)
        assert result.status is Status.CONVERGED
        np.testing.assert_allclose(result.x, WANTED, atol=1e-8)


def test_multipliers_of_inequalities_are_not_negative() -> None:
    result = banded.minimize(distance, ZERO, inequality=lambda x: x[:2] + 1e6)
    assert result.multipliers is not None
    assert float(result.multipliers.inequality.min()) >= 0


def test_large_multipliers_do_not_hide_that_nothing_holds_the_others() -> None:
    """min x + y with x² = 0 falls with y for ever; no multiplier of x² does anything about ∂f/∂y = 1."""
    result = banded.minimize(lambda x: x[0] + x[1], point(1, 1), equality=lambda x: x[:1] ** 2)
    assert result.status is not Status.CONVERGED


def test_large_multipliers_do_not_hide_what_is_left_to_gain() -> None:
    """x = 2 and x >= 2 leave no room in one unknown; the others have minimum 1 as ever."""
    result = banded.minimize(distance, ZERO, equality=lambda x: x[:1] - 2, inequality=lambda x: x - 2)
    assert result.value == pytest.approx(1, rel=1e-6)


@pytest.mark.parametrize("limits", [{"bounds": (-1.0, 1.0)}, {"equality": lambda x: x[:1]}])
def test_a_maximum_is_no_minimum(limits: dict[str, Any]) -> None:
    """As without constraints, where the status is SADDLE, or the way leads down from there."""
    result = banded.minimize(lambda x: -x[1:].square().sum() + x[1:].pow(4).sum(), ZERO, **limits)
    assert result.status is Status.SADDLE or result.value < -0.1


def test_the_example_of_waechter_and_biegler() -> None:
    """Line searches that keep to linearised constraints end nowhere (2000, Math. Program. 88:565-574).

    From there, Ipopt ends at (-1, 0, 0) as well, infeasible; from the right side the minimum (1, 0, 1/2) is found.
    """
    case = Case(
        lambda x: x[0],
        point(-2, 1, 1),
        {
            "equality": lambda x: torch.stack([x[0] ** 2 - x[1] - 1, x[0] - x[2] - 0.5]),
            "bounds": (point(-inf, 0, 0), None),
        },
        point(1, 0, 0.5),
    )
    result = case.solve()
    assert result.status is Status.INFEASIBLE
    np.testing.assert_allclose(result.x, [-1, 0, 0], atol=1e-4)
    other = case._replace(start=point(3, 1, 1)).solve()
    assert other.status is Status.CONVERGED
    np.testing.assert_allclose(other.x, case.minimum, atol=1e-6)
    assert_optimal(case.f, other, **case.limits)


INFEASIBLE: dict[str, tuple[Tensor, dict[str, Any], float]] = {  # start, limits, the least Σ of violations
    "equalities": (ZERO, {"equality": lambda x: torch.stack([x[0] + x[1] - 1, x[0] + x[1] - 2])}, 1.0),
    "more equalities than unknowns": (
        ZERO,
        {"equality": lambda x: torch.cat([x - 1, x[:1] - x[1:2] - 1])},
        1.0,
    ),
    "inequalities": (ZERO, {"inequality": lambda x: torch.stack([x[0] - 2, 1 - x[0]])}, 1.0),
    "bounds and an equality": (ZERO, {"equality": lambda x: x[:1] + x[1:2] - 5, "bounds": (0.0, 1.0)}, 3.0),
    "all fixed": (ZERO, {"equality": lambda x: x[:1] - 2, "bounds": (1.0, 1.0)}, 1.0),
    "a circle without points": (ZERO + 1, {"equality": lambda x: x.square().sum()[None] + 1}, 1.0),
    "a constant": (ZERO, {"equality": lambda x: torch.cat([x[:1], torch.ones_like(x[:1])])}, 1.0),
}


@pytest.mark.parametrize("name", INFEASIBLE)
def test_what_cannot_be_met_is_told_so(name: str) -> None:
    start, limits, least = INFEASIBLE[name]
    result = banded.minimize(distance, start, **limits)
    assert result.status is Status.INFEASIBLE
    assert not result.success
    assert result.iterations < 150
    assert result.conditions is not None
    found = sum(one.number for one in result.conditions.worst(10))
    assert found == pytest.approx(least, rel=0.01)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_row_that_is_always_met_changes_nothing(value: float) -> None:
    """Also where it is met with nothing to spare, as padding with zeros is: then its slack has no room."""
    weights, slopes = point(2, 1), point(-2, 0)
    result = banded.minimize(
        lambda x: (weights * (x - 1) ** 2).sum() + (slopes * x).sum(),
        point(0, 0),
        inequality=lambda x: torch.stack([0 * x[0] + value, 2 * x[1] - x[0] - 1]),
        bounds=(-5.0, 5.0),
    )
    assert result.success
    assert result.value == pytest.approx(-22 / 9, rel=1e-7)  # x = (13, 11) / 9


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e-8, 1e6])
def test_the_minimum_does_not_depend_on_the_scale_of_the_objective(scale: float) -> None:
    target = torch.linspace(-2, 2, 5, dtype=torch.float64)
    result = banded.minimize(
        lambda x: scale * ((x - target).square().sum() + x.diff().square().sum()),
        point(1, 1, 1, 1, 1),
        bounds=(0, None),
    )
    assert result.success
    expected = np.array([0, 0, 4, 12, 19]) / 13
    np.testing.assert_allclose(result.x, expected, atol=1e-6)
