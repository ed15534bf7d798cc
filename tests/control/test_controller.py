"""Feedback: the problem solved anew from each state that is measured."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from moves import SCHEMES, block, hasty, pushed
from torch import Tensor

import banded

HORIZON, STEP = 4.0, 0.1


def swinging(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([x[1], u[0] - x[0].sin()])


def upright(x: Tensor, u: Tensor) -> Tensor:
    return (x[0] - math.pi).square() + 0.1 * x[1].square() + 0.01 * u[0].square()


def pendulum(**changed: Any) -> banded.ControlProblem:
    """To be held upright by a torque that suffices to lift it."""
    usual: dict[str, Any] = {
        "dynamics": swinging,
        "states": ("angle", "turn"),
        "controls": ("torque",),
        "running_cost": upright,
        "control_bounds": (-2, 2),
        "duration": HORIZON,
    }
    return banded.ControlProblem(**{**usual, **changed})


def moved(x: Tensor, u: Tensor, dynamics: Any = swinging, step: float = STEP) -> Tensor:
    """What a plant makes of a control that is held: the classic Runge-Kutta method."""
    k1 = dynamics(x, u)
    k2 = dynamics(x + step / 2 * k1, u)
    k3 = dynamics(x + step / 2 * k2, u)
    k4 = dynamics(x + step * k3, u)
    found: Tensor = x + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return found


@pytest.mark.parametrize("scheme", ["trapezoidal", "rk4", "midpoint"])
def test_a_pendulum_is_raised_and_held_in_spite_of_noise(scheme: str) -> None:
    controller = banded.Controller(pendulum(), nodes=41, scheme=scheme)
    generator, x = torch.Generator().manual_seed(0), torch.zeros(2, dtype=torch.float64)
    iterations, angles = [], []
    for _ in range(50):
        u = controller(x)
        assert u.shape == (1,)
        assert abs(float(u)) <= 2 + 1e-8
        assert controller.solution is not None
        assert controller.solution.success
        iterations.append(controller.solution.iterations)
        x = moved(x, u) + 0.01 * torch.randn(2, generator=generator, dtype=torch.float64)
        angles.append(float(x[0]))
    assert max(abs(angle - math.pi) for angle in angles[-15:]) < 0.2
    assert float(np.median(iterations[1:])) < iterations[0] / 2  # the last trajectory is a good guess


def test_a_block_is_brought_to_rest_by_the_feedback_of_its_closed_form() -> None:
    """The least effort from (x, v) to rest at 0 in the time T begins with -6 x/T² - 4 v/T."""
    controller = banded.Controller(
        block(duration=3.0, final_state=[0, 0]), nodes=11, scheme="hermite-simpson", step=STEP
    )
    x = torch.tensor([1.0, 0.5], dtype=torch.float64)
    for _ in range(80):
        u = controller(x)
        assert float(u) == pytest.approx(float(-6 / 9 * x[0] - 4 / 3 * x[1]), abs=1e-7)
        x = moved(x, u, pushed)
    assert float(x.abs().max()) < 1e-2


def test_the_control_is_the_first_of_the_best_trajectory() -> None:
    problem, x = pendulum(), [0.3, -0.1]
    controller = banded.Controller(problem, nodes=31)
    u = controller(x)
    alone = problem.solve(31, initial_state=x)
    assert controller.solution is not None
    torch.testing.assert_close(controller.solution.x, alone.x)
    torch.testing.assert_close(u, alone.u[0])
    u.zero_()  # what it gives away is a copy
    torch.testing.assert_close(controller.solution.u[0], alone.u[0])


def test_the_problems_own_state_does_not_matter() -> None:
    x = [0.3, -0.1]
    one, other = (banded.Controller(pendulum(initial_state=first), nodes=21)(x) for first in (None, [9.0, 9.0]))
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_it_starts_from_the_last_trajectory_one_step_later(scheme: str) -> None:
    controller = banded.Controller(pendulum(), nodes=41, scheme=scheme)
    x = torch.tensor([2.5, 0.0], dtype=torch.float64)
    controller(x)
    first = controller.solution
    assert first is not None
    planned = first.x[1]
    controller(planned)
    assert controller.solution is not None
    warm = controller.solution.iterations
    controller.reset()
    assert controller.solution is None
    u = controller(planned)
    assert controller.solution is not None
    assert warm < controller.solution.iterations
    torch.testing.assert_close(u, first.u[1], atol=0.2, rtol=0)


def test_the_step_may_be_another() -> None:
    """Where calls come more often than there are nodes, the last trajectory is moved on by less."""
    often = banded.Controller(pendulum(), nodes=41, step=0.02)
    x, iterations = torch.tensor([2.5, 0.0], dtype=torch.float64), []
    for _ in range(5):
        x = moved(x, often(x), step=0.02)
        assert often.solution is not None
        iterations.append(often.solution.iterations)
    assert max(iterations[1:]) < iterations[0]
    assert banded.Controller(pendulum(), nodes=41, step=0)(x).shape == (1,)


@pytest.mark.parametrize("compile", [False, True])
def test_a_horizon_begins_when_it_is_told(compile: bool) -> None:
    """At each time, as the same problem with that initial time; which is left as it was."""
    problem = pendulum(running_cost=lambda x, u, t: (x[0] - (2 * t).sin()).square() + 0.01 * u[0].square())
    controller = banded.Controller(problem, nodes=21, compile=compile)
    x = torch.tensor([0.0, 2.0], dtype=torch.float64)
    for t in (0.0, 0.3, 5.0, 1.0):
        u = controller(x, t)
        alone = replace(problem, initial_time=t).solve(21, initial_state=x)
        assert controller.solution is not None
        torch.testing.assert_close(controller.solution.t, alone.t)
        torch.testing.assert_close(u, alone.u[0], atol=1e-5, rtol=0)
        assert controller.solution.result is not None
        assert controller.solution.result.conditions is not None
        assert f"node 0 (t = {t:.4g})" in controller.solution.result.conditions.name(0)
    assert controller.solution is not None
    assert controller.solution.simulate().gap < 0.1
    assert float(problem.solve(21, initial_state=x).t[0]) == 0
    controller(x)
    assert float(controller.solution.t[0]) == 0  # t counts from now, where nothing is told


def test_a_moving_target_is_followed_from_the_last_trajectory() -> None:
    problem = block(
        final_state=None,
        duration=2.0,
        running_cost=lambda x, u, t: (x[0] - t.sin()).square() + 1e-3 * u[0].square(),
    )
    controller = banded.Controller(problem, nodes=21)
    x, iterations = torch.tensor([0.0, 1.0], dtype=torch.float64), []
    for k in range(40):
        x = moved(x, controller(x, STEP * k), pushed)
        assert controller.solution is not None
        iterations.append(controller.solution.iterations)
    assert float(x[0]) == pytest.approx(math.sin(40 * STEP), abs=0.05)
    assert max(iterations[1:]) <= iterations[0]


@pytest.mark.parametrize("t", ["1", math.nan, math.inf, [0.0]])
def test_what_is_no_time(t: Any) -> None:
    with pytest.raises(TypeError, match="t: expected a finite number, or None, got"):
        banded.Controller(pendulum(), nodes=11)([0, 0], t)


def test_a_guess_is_for_the_first_call() -> None:
    ways = []
    for side in (math.pi, -math.pi):
        problem = pendulum(running_cost=lambda x, u: 1 + x[0].cos() + 0.01 * u[0].square())
        controller = banded.Controller(problem, nodes=41, guess={"x": [[0.0, 0.0], [side, 0.0]]})
        controller([0.0, 0.0])
        assert controller.solution is not None
        ways.append(float(controller.solution.x[-1, 0]))
    assert ways[0] == pytest.approx(-ways[1], abs=1e-4)
    assert ways[0] > 2


def test_a_duration_that_shrinks() -> None:
    controller = banded.Controller(hasty(duration=(0.01, 9)), nodes=21)
    left = []
    for x in ([0, 0], [0.08, 0.4], [0.5, 1.0]):
        controller(x)
        assert controller.solution is not None
        left.append(controller.solution.duration)
    assert left == pytest.approx([2, 1.6, 1], abs=1e-2)


def test_states_that_were_not_measured_are_free() -> None:
    controller = banded.Controller(pendulum(), nodes=21)
    controller([2.0, math.nan])
    assert controller.solution is not None
    assert float(controller.solution.x[0, 0]) == 2.0
    assert float(controller.solution.costates[0, 1]) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("state", [[0.3, 0.1], (0.3, 0.1), np.array([0.3, 0.1]), torch.tensor([0.3, 0.1])])
def test_forms_of_a_state(state: Any) -> None:
    assert float(banded.Controller(pendulum(), nodes=11)(state)) == pytest.approx(2, abs=1e-6)


def test_a_warning_where_there_is_no_minimum() -> None:
    controller = banded.Controller(block(control_bounds=(-1, 1)), nodes=11)
    with pytest.warns(RuntimeWarning, match="Controller: INFEASIBLE: The constraints cannot be met") as caught:
        u = controller([0, 0])
    assert caught[0].filename == __file__
    assert abs(float(u)) <= 1 + 1e-8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        controller([0.9, 0])  # and on it goes
    early = banded.Controller(pendulum(), nodes=21, max_iterations=2)
    with pytest.warns(RuntimeWarning, match="MAX_ITERATIONS"):
        early([0, 0])


def test_a_state_outside_its_bounds_is_told() -> None:
    controller = banded.Controller(block(state_bounds=([-1, -1], [1, 1])), nodes=11)
    with pytest.warns(RuntimeWarning, match="INFEASIBLE"):
        controller([-2, 0])


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"problem": 3}, TypeError, "problem: expected a ControlProblem, got int"),
        ({"nodes": 1}, ValueError, "nodes: expected at least 2, got 1"),
        ({"scheme": "simpson"}, ValueError, "scheme: expected one of euler"),
        ({"step": -0.1}, ValueError, r"step: expected a time from one call to the next, 0 or more, got -0\.1"),
        ({"step": math.nan}, ValueError, "step: expected a time from one call to the next, 0 or more, got nan"),
        ({"tol": 1e-3}, TypeError, "Controller: expected keywords that it knows, got 'tol'; 'tolerance' may be meant"),
        ({"step": "0.1"}, ValueError, "step: expected a time from one call to the next, 0 or more, got '0.1'"),
    ],
)
def test_what_makes_no_controller(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        banded.Controller(**{"problem": block(), **given})


@pytest.mark.parametrize(
    ("state", "error", "text"),
    [
        ([0, 0, 0], ValueError, r"state: expected 2 numbers, for position, speed, got shape \(3,\)"),
        ([[0, 0]], ValueError, r"state: expected 2 finite numbers, got \[\[0, 0\]\]"),
        ([0, math.inf], ValueError, r"state: expected 2 finite numbers, got \[0, inf\]"),
        ("here", TypeError, "state: expected a number, or 2 numbers, got 'here'"),
    ],
)
def test_what_is_no_state(state: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        banded.Controller(block(), nodes=5)(state)
