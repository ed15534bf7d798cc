"""Functions and arguments that are not what they look like."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from moves import SCHEMES, block, hasty, moved
from torch import Tensor

from banded import ControlProblem, NonFiniteError, RungeKutta, Scheme, Solution

ONE = torch.ones(1, dtype=torch.float64)


def shaken(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([x[1], u[0] + torch.rand((), dtype=x.dtype)])


def written(x: Tensor, u: Tensor) -> Tensor:
    speed = x[1].clone()
    x[1] = u[0]
    x[0] = speed
    return x


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"dynamics": written}, ValueError, r"dynamics: expected a function that leaves its arguments .* x = x\.clone"),
        (
            {"path_constraint": lambda x, u: x[0] > 0.5},
            TypeError,
            r"path_constraint: .* got torch\.bool; x\[0\] >= 1 is",
        ),
        ({"path_constraint": lambda x, u: (x[0], x[1] > 3)}, TypeError, r"expected real numbers, got torch\.bool"),
        ({"running_cost": lambda x, u: True}, TypeError, "running_cost: expected real numbers, got bool"),
        ({"running_cost": lambda x, u: x[0] * 1j}, TypeError, r"got torch\.complex128; take \.real"),
        ({"dynamics": lambda t, x: -x}, TypeError, r"a function of \(x, u\), which may also name t .* one of \(t, x\)"),
        ({"dynamics": lambda x, t: -x}, TypeError, r"a function of \(x, u\), which may also name t .* one of \(x, t\)"),
    ],
)
def test_functions_that_would_say_something_else(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block(**given)


def test_a_list_may_hold_vectors_of_one_number() -> None:
    """U is a vector, though of one control."""
    usual = block().solve(7)
    assert block(dynamics=lambda x, u: [x[1], u]).solve(7).cost == usual.cost
    with pytest.raises(
        ValueError, match=r"dynamics: expected a list of numbers, got one of shape \(2,\) in it; x\[1\] is"
    ):
        block(dynamics=lambda x, u: [x, u[0]])


@pytest.mark.parametrize(
    "dynamics",
    [
        torch.nn.Bilinear(2, 1, 2),  # of float32
        lambda x, u: torch.stack([x[1], u[1]]),
        lambda x, u: torch.stack([x.speed, u[0]]),
    ],
)
def test_errors_of_functions_tell_what_these_were_given(dynamics: Any) -> None:
    with pytest.raises((RuntimeError, IndexError, AttributeError)) as caught:
        block(dynamics=dynamics)
    assert "dynamics was called for one node: with vectors of 2 and 1 numbers" in caught.value.__notes__[0]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_constants_change_nothing_else(scheme: str) -> None:
    """They have no graph for autograd, where they are all that a function of a point returns."""
    usual = block().solve(7, scheme)
    given: list[dict[str, Callable[..., Any]]] = [
        {"final_cost": lambda x: 3},
        {"path_constraint": lambda x, u: ONE},
        {"boundary_constraint": lambda first, last: 0 * ONE},
    ]
    for one in given:
        found = block(**one).solve(7, scheme)
        assert found.cost == pytest.approx(usual.cost + 3 * ("final_cost" in one), abs=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_rates_that_depend_on_nothing_or_on_time_alone(scheme: str) -> None:
    for rate, end in ((lambda x, u: ONE, 3.0), (lambda x, u, t: 2 * t[None], 1 + 3.0**2 - 1)):
        problem = ControlProblem(dynamics=rate, states=1, initial_state=[1], initial_time=1.0, duration=2.0)
        found = problem.solve(401, scheme)
        assert float(found.x[-1, 0]) == pytest.approx(end, abs=0.02 if scheme == "euler" else 1e-9)


def test_a_time_of_ones_own_stays() -> None:
    clocked = partial(lambda x, u, t: t * torch.ones_like(x), t=2.0)
    found = ControlProblem(dynamics=clocked, states=1, initial_state=[1]).solve(3)
    assert float(found.x[-1, 0]) == pytest.approx(3)


def test_solutions_of_other_problems_are_no_guesses() -> None:
    other = ControlProblem(lambda x, u: u, 1, 1, running_cost=lambda x, u: u[0] ** 2, initial_state=[0]).solve(5)
    both: list[dict[str, Any]] = [{"guess": other}, {"warm_start": other}]
    for given in both:
        with pytest.raises(
            ValueError, match="guess: expected a solution with 2 states, position, speed, got one with 1"
        ):
            block().solve(5, **given)
    pair = replace(block(), controls=2, dynamics=lambda x, u: torch.stack([x[1], u.sum()]))
    with pytest.raises(ValueError, match="guess: expected a solution with 2 controls, u0, u1, got one with 1"):
        pair.solve(5, guess=block().solve(5, initial_state=[[0, 0], [0.1, 0]]))


def test_a_final_cost_that_is_constant_in_one_branch() -> None:
    """It costs nothing up to 0.5, where it starts."""
    found = block(
        final_state=None,
        initial_state=[0, 1],
        final_cost=lambda x: 100 * (x[0] - 0.5) ** 2 if x[0] > 0.5 else 0.0,
        running_cost=lambda x, u: u[0] ** 2,
        guess={"x": [0.0, 0.0]},
    ).solve(21)
    assert found.success
    assert 0.5 < float(found.x[-1, 0]) < 0.53


def test_grids_that_overflow() -> None:
    for grid in ([-1.7e308, 0, 1.7e308], [0, 1, 1 + 1e-17], [2, 1, 0]):
        with pytest.raises(ValueError, match="grid: expected at least two numbers, each larger than the one before"):
            block().solve(grid=grid)


@pytest.mark.parametrize("factor", [1 - 1e-7, 1 - 2e-16, 1, 1 + 2e-16, 1 + 1e-7])
def test_a_guess_of_the_duration_may_be_off_by_rounding(factor: float) -> None:
    for end in (0.5, 9.0):
        found = hasty().solve(5, guess={"duration": factor * end})
        assert found.success
    with pytest.raises(ValueError, match=r"guess\['duration'\]: expected a number from 0\.5 to 9\.0, got 9\.0001"):
        hasty().solve(5, guess={"duration": 9.0001})


def test_an_end_may_be_off_its_bounds_by_rounding() -> None:
    problem = block(state_bounds=([0, -9], [0.3, 9]), initial_state=[0.1 + 0.2, 0], final_state=[0, 0])
    assert problem.solve(7).success


def test_names_of_periodic_states_may_be_repeated() -> None:
    free: dict[str, Any] = {"initial_state": None, "final_state": None, "state_bounds": (-1, 1)}
    assert block(**free, periodic=("speed", "speed")).stated.periodic == (1,)


@pytest.mark.parametrize("scheme", ["rk4", RungeKutta(controls="constant")])
@pytest.mark.parametrize("name", ["dynamics", "running_cost"])
def test_where_inside_a_step_it_is_not_finite_is_told(scheme: str | Scheme, name: str) -> None:
    """No node is later than 0.5 and earlier than 0.75, but a step looks there."""
    gap: dict[str, Any] = {
        "dynamics": lambda x, u, t: torch.stack([x[1], u[0] + torch.where((t - 0.62).abs() < 0.1, torch.nan, 0)]),
        "running_cost": lambda x, u, t: u[0] ** 2 + torch.where((t - 0.62).abs() < 0.1, torch.nan, 0),
    }
    told = "dynamics of speed" if name == "dynamics" else "running_cost"
    with pytest.raises(NonFiniteError, match=rf"{told}: .* that are not after node 2 \(t = 0\.625\); give a guess"):
        block(**{name: gap[name]}).solve(5, scheme)


def test_other_values_of_other_types(tmp_path: Path) -> None:
    strange: Any = "a"
    found = moved()
    with pytest.raises(TypeError, match="t: expected times, got 'a'"):
        found(strange)
    with pytest.raises(ValueError, match="t: expected times from 0 to 1, got others"):
        found(math.nan)
    with pytest.raises(TypeError, match="grid: expected times, got 'a'"):
        found.resample(grid=strange)
    with pytest.raises(ValueError, match="rtol: expected a relative tolerance from 1e-13 to 1, got 'a'"):
        found.simulate(strange)
    with pytest.raises(ValueError, match="fps, speed: expected positive numbers, got 'a' and 1"):
        found.animate(tmp_path / "one.gif", strange)
    with pytest.raises(TypeError, match="problem: expected a ControlProblem, got str"):
        Solution.load(tmp_path / "one.npz", strange)
    with pytest.raises(ValueError, match="accuracy: expected a positive number such as 1e-6, or None, got True"):
        block().solve(5, accuracy=True)
