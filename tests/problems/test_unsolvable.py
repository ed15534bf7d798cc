"""Problems whose constraints contradict each other, or whose objective falls for ever, are told apart and so named."""

from collections.abc import Callable
from dataclasses import replace
from math import inf
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from banded import Status
from banded.problems import Problem, cartpole, corkscrw, dtoc1l, dtoc3, hager1, hanging, liswet1, optcntrl, pentdi


def with_rows(problem: Problem, rows: Callable[[Tensor], Tensor]) -> Problem:
    """With more equalities."""
    c = problem.equality
    assert c is not None
    return replace(problem, equality=lambda z: torch.cat([c(z).reshape(-1), rows(z)]))


def limited(problem: Problem, places: Any, lower: float, upper: float) -> Problem:
    """With other bounds at these places."""
    assert problem.bounds is not None
    bounds = low, high = problem.bounds[0].clone(), problem.bounds[1].clone()
    low[places], high[places] = lower, upper
    return replace(problem, bounds=bounds, start=problem.start.clamp(low, high))


def reduced(problem: Problem, by: float) -> Problem:
    """With inequalities that ask for more."""
    g = problem.inequality
    assert g is not None
    return replace(problem, inequality=lambda z: g(z) - by)


def weak(problem: Problem) -> Problem:
    """The cart-pole with a force of 0.05 at most, that has to be upright at the end all the same."""
    force = torch.tensor([0.05, inf, inf, inf, inf], dtype=torch.float64)
    upright = with_rows(problem, lambda z: z[-1, 3:4] - torch.pi)
    return replace(upright, bounds=(-force, force))


# problem, one of the constraints violated most, and by how much at least
INFEASIBLE: dict[str, tuple[Problem, set[str], float]] = {
    "two values for one end": (
        with_rows(hager1(100), lambda z: torch.cat([z[-1:] - 0.1, z[-1:] - 0.2])),
        {"equality[100]", "equality[101]"},
        0.05,
    ),
    "a first step too far": (  # (N - 1/2) x_1 - (N + 1/2) x_0 = u_1 with x_0 = 1, x_1 <= 1/2 and |u_1| <= 1
        limited(limited(hager1(10), slice(1, None, 2), -1, 1), slice(2, None, 2), -inf, 0.5),
        {"equality[0]"},
        4.75,
    ),
    "an end beside the corkscrew": (limited(corkscrw(10), -8, 5.0, 5.0), {"equality[55]", "inequality[9]"}, 1.0),
    "a corkscrew without room": (reduced(corkscrw(10), 0.02), {f"inequality[{i}]" for i in range(10)}, 0.01),
    "a chain too short": (limited(hanging(20), -2, 2.0, 2.0), {f"equality[{3 * i + 2}]" for i in range(20)}, 0.01),
    "a force too small": (
        limited(optcntrl(10), slice(2, None, 3), -0.02, 0.02),
        {f"equality[{i}]" for i in range(1, 20, 2)},
        0.01,
    ),
    "a swing too weak": (weak(cartpole(30)), {"equality[116]"}, 1.0),
    "inequalities that cross": (
        replace(dtoc1l(100), inequality=lambda z: torch.stack([z[24] + z[25] - 0.3, 0.1 - z[24] - z[25]])),
        {"inequality[0]", "inequality[1]"},
        0.1,
    ),
    "not negative, but below": (
        replace(pentdi(50), equality=lambda x: x[:1] + x[1:2] + 1),
        {"equality[0]"},
        1.0,
    ),
}


@pytest.mark.parametrize("name", INFEASIBLE)
def test_what_cannot_be_met_is_named(name: str) -> None:
    problem, places, least = INFEASIBLE[name]
    result = problem.solve()
    assert result.status is Status.INFEASIBLE
    assert not result.success
    assert result.iterations < 453  # 1.5 times what Ipopt takes for the longest, a chain too short: 302
    assert result.conditions is not None
    worst = result.conditions.worst(1)[0]
    assert worst.name in places
    assert worst.number >= 0.99 * least
    assert result.violation == pytest.approx(worst.number)
    assert f"Violated most: {worst.name}, by" in str(result)
    assert any(place in result.explain() for place in places)  # where several are worst, rounding picks one


UNBOUNDED: dict[str, Problem] = {
    "a spring pushed down for nothing": replace(dtoc3(100), objective=lambda v: v[::3].sum()),
    "cubes for fourth powers": replace(dtoc1l(100), objective=lambda z: ((z + 0.25) ** 3).sum()),
    "up for ever": replace(pentdi(50), objective=lambda x: -x.sum()),
    "concave": replace(pentdi(50), objective=lambda x: -x.square().sum()),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_what_falls_for_ever_is_told_so(name: str) -> None:
    result = UNBOUNDED[name].solve()
    assert result.status is Status.UNBOUNDED
    assert not result.success
    assert result.value < -1e9
    assert result.iterations < 100


STUBBORN: dict[str, Problem] = {
    "the last state alone": replace(hager1(100), objective=lambda z: -z[-1]),
    "a convex function that may be as steep as it likes": replace(liswet1(100), objective=lambda x: -x.sum()),
    "a cart that is pushed for nothing": replace(cartpole(30), objective=lambda z: -z[:, 1].sum()),
}


@pytest.mark.parametrize("name", STUBBORN)
def test_what_falls_for_ever_with_states_that_grow(name: str) -> None:
    """A pole that spins ever faster meets the rounding errors of its own motion before f shows that it has no end."""
    status = STUBBORN[name].solve(max_iterations=300).status
    assert not status.success
    assert status is Status.UNBOUNDED or "cart" in name


def test_a_start_that_is_a_minimum_of_violations_is_no_verdict_on_others() -> None:
    """The same corkscrew with the end it has is solved from where the impossible one ended."""
    impossible = limited(corkscrw(10), -8, 5.0, 5.0).solve()
    problem = replace(corkscrw(10), start=impossible.x)
    result = problem.solve()
    assert result.success
    assert problem.inequality is not None
    assert np.min(problem.inequality(result.x).numpy()) > -1e-7
