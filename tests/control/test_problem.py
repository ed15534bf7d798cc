"""What makes a control problem and what does not, and which functions serve."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from moves import SCHEMES, block, hasty, pendulum, pushed
from torch import Tensor

from banded import ControlProblem, NonFiniteError, RungeKutta, Status
from banded.control.schemes import SCHEMES as ALL

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"states": "position"}, TypeError, r"states: .* got the text 'position'; \('position',\) is one"),
        ({"states": 0}, ValueError, "states: expected at least one state, got none"),
        ({"states": -1}, ValueError, "states: expected how many there are, or a tuple of names, got -1"),
        ({"states": 2.0}, TypeError, r"states: expected a whole number, got 2\.0"),
        ({"states": (1, 2)}, TypeError, r"states: expected names that are text, got \(1, 2\)"),
        ({"states": ("x", "")}, TypeError, "states: expected names that are text"),
        ({"states": ("position", "force")}, ValueError, "expected names that differ, .* got 'force' twice"),
        ({"states": ("v", "v")}, ValueError, "got 'v' twice"),
        ({"states": ("t", "v")}, ValueError, "none of them t or duration, got 't' twice"),
        ({"controls": ("duration",)}, ValueError, "none of them t or duration, got 'duration' twice"),
        ({"parameters": ("force",)}, ValueError, "got 'force' twice"),
        ({"periodic": ("positon",)}, ValueError, "periodic: expected True, or names among position, speed"),
        ({"periodic": "speed"}, ValueError, "periodic: expected True, or names among position, speed, got 'speed'"),
        ({"periodic": None}, ValueError, "periodic: expected True, or names among position, speed, got None"),
    ],
)
def test_names(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block(**given)


@pytest.mark.parametrize("duration", [0, -1.0, NAN, INF, (2, 1), (0, 0), (NAN, 1), (-1, 1), (INF, INF)])
def test_durations_that_no_time_lasts(duration: Any) -> None:
    with pytest.raises(ValueError, match="duration: expected a positive number, or a pair 0 <= low <= high, got"):
        block(duration=duration)


@pytest.mark.parametrize("duration", ["2", None, (1, 2, 3), True, ("a", "b")])
def test_durations_that_are_none(duration: Any) -> None:
    with pytest.raises(TypeError, match="duration: expected a number, or a pair"):
        block(duration=duration)


def test_a_duration_may_be_any_number() -> None:
    for two in (2, 2.0, np.float32(2), torch.tensor(2.0), (2, 2), (torch.tensor(2), np.array(2.0))):
        assert block(duration=two).solve(5).duration == 2.0


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"state_bounds": ([0, 1], [1, 0])}, ValueError, r"expected lower <= upper, got 1\.0 and 0\.0 for speed"),
        ({"control_bounds": (NAN, 1)}, ValueError, r"control_bounds: expected lower <= upper, got nan and 1\.0"),
        ({"control_bounds": 3}, TypeError, r"control_bounds: expected a pair \(lower, upper\), got 3"),
        (
            {"state_bounds": ([0, 0, 0], None)},
            ValueError,
            r"state_bounds\[0\]: expected 2 numbers, for position, speed",
        ),
        ({"parameters": 1, "parameter_bounds": (2, 1)}, ValueError, "parameter_bounds: expected lower <= upper"),
        ({"initial_state": [0, 0, 0]}, ValueError, r"initial_state: expected 2 numbers, .* got shape \(3,\)"),
        ({"final_state": [0, INF]}, ValueError, "final_state: expected finite numbers, or nan for what is free"),
        ({"initial_state": {0}}, TypeError, "initial_state: expected a number, or 2 numbers"),
        ({"initial_time": "noon"}, TypeError, "initial_time: expected a number, got 'noon'"),
        ({"initial_time": INF}, TypeError, "initial_time: expected a number, got inf"),
        ({"initial_time": True}, TypeError, "initial_time: expected a number, got True"),
        ({"initial_state": torch.zeros(2, dtype=torch.cfloat)}, TypeError, "initial_state: expected a number, or 2"),
        ({"final_state": [True, False]}, TypeError, "final_state: expected a number, or 2 numbers, got"),
        ({"state_bounds": (np.zeros((3, 2)), None)}, ValueError, r"on either side, got shapes \(3, 2\) and \(2,\)"),
        ({"guess": 3}, TypeError, "guess: expected a dictionary with x, u, ... or a Solution, got int"),
        ({"guess": {"y": 0}}, ValueError, "guess: expected x, u, duration, parameters, got 'y'"),
        ({"guess": {"x": [0, 0, 0]}}, ValueError, r"guess\['x'\]: expected 2 numbers, .* got shape \(3,\)"),
        ({"guess": {"u": [NAN]}}, ValueError, r"guess\['u'\]: expected finite numbers"),
        ({"guess": {"parameters": [1, 2]}}, ValueError, r"guess\['parameters'\]: expected 0 numbers"),
        ({"guess": {"duration": 3}, "duration": (1, 2)}, ValueError, r"guess\['duration'\]: expected a number from 1"),
        ({"title": 3}, TypeError, "title: expected a line of text, got 3"),
        ({"optimum": "low"}, TypeError, "optimum: expected a number, or None, got 'low'"),
        ({"optimum": NAN}, TypeError, "optimum: expected a number, or None, got nan"),
        ({"scene": 3}, TypeError, r"scene: expected a function of \(axes, t, x, u\) that draws an instant, got 3"),
    ],
)
def test_bounds_and_ends(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block(**given)


@pytest.mark.parametrize(("name", "state"), [("initial_state", [-1, 0]), ("final_state", [2, 0])])
def test_ends_outside_their_bounds(name: str, state: list[float]) -> None:
    bounds: dict[str, Any] = {"state_bounds": ([0, -9], [1, 9])}
    end: dict[str, Any] = {name: state}
    text = rf"{name}: expected position within its bounds, 0\.0 to 1\.0, got {state[0]:.1f}"
    with pytest.raises(ValueError, match=text):
        block(**bounds, **end)
    with pytest.raises(ValueError, match=text):
        block(**bounds).solve(5, **end)


def rough(x: Tensor, u: Tensor) -> Tensor:
    rates = torch.zeros(2)  # float32
    rates[0], rates[1] = x[1], u[0]
    return rates


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"dynamics": None}, TypeError, r"dynamics: expected a function of \(x, u\), got None"),
        ({"dynamics": 3}, TypeError, r"dynamics: expected a function of \(x, u\), got 3"),
        ({"final_cost": 3}, TypeError, r"final_cost: expected a function of \(x\), got 3"),
        (
            {"dynamics": lambda x, u: x[:1]},
            ValueError,
            r"dynamics: expected shape \(2,\) at one node, got shape \(1,\)",
        ),
        ({"dynamics": lambda x, u: [x[1]]}, ValueError, r"dynamics: expected shape \(2,\) .* got shape \(1,\)"),
        (
            {"dynamics": lambda x, u: torch.zeros(5, 2)},
            ValueError,
            r"got shape \(5, 2\); functions are written for one node, the library batches them",
        ),
        ({"dynamics": lambda x, u: None}, TypeError, "dynamics: expected a tensor, got NoneType"),
        ({"dynamics": lambda x, u: np.zeros(2)}, TypeError, "dynamics: expected a tensor, got ndarray"),
        ({"dynamics": rough}, TypeError, r"expected numbers of torch.float64, .* got torch.float32, .* dtype=x.dtype"),
        ({"dynamics": lambda x: x}, TypeError, r"dynamics: expected a function of \(x, u\), .* got one of \(x\)"),
        (
            {"dynamics": lambda x, u, k: x},
            TypeError,
            r"got one of \(x, u, k\); functools.partial gives other arguments",
        ),
        ({"running_cost": lambda x, u: x}, ValueError, "running_cost: expected a scalar at one node"),
        ({"final_cost": lambda x: x}, ValueError, "final_cost: expected a scalar at one node"),
        ({"path_constraint": lambda x, u: x[:0]}, ValueError, "path_constraint: expected at least one number"),
        ({"path_constraint": lambda x, u: x.diag()}, ValueError, "path_constraint: expected a vector at one node"),
        (
            {"boundary_constraint": lambda x: x},
            TypeError,
            r"boundary_constraint: expected a function of \(first, last\)",
        ),
    ],
)
def test_functions_that_do_not_fit(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block(**given)


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"nodes": 1}, ValueError, "nodes: expected at least 2, got 1"),
        ({"nodes": 2.5}, TypeError, r"nodes: expected a whole number, got 2\.5"),
        ({"grid": [0, 2, 1]}, ValueError, "grid: expected at least two numbers, each larger than the one before"),
        ({"grid": [0]}, ValueError, "grid: expected at least two numbers"),
        ({"grid": [0, NAN, 1]}, ValueError, "grid: expected at least two numbers"),
        ({"grid": "fine"}, TypeError, "grid: expected rising numbers, got 'fine'"),
        ({"scheme": "simpson"}, ValueError, "scheme: expected one of euler, .*, got 'simpson'"),
        ({"scheme": RungeKutta}, TypeError, r"scheme: expected a name or a scheme such as RungeKutta\(\), got type"),
        ({"guess": {"x": torch.zeros(7, 3)}}, ValueError, r"guess\['x'\]: expected 2 numbers, for position, speed"),
        ({"guess": {"u": [0, 0]}}, ValueError, r"guess\['u'\]: expected 1 numbers, for force, got shape \(2,\)"),
        ({"guess": {"x": torch.zeros(2, 3, 4, 2)}}, ValueError, "at most one dimension that counts problems, got 2"),
        ({"guess": {"x": lambda t: torch.zeros(3)}}, ValueError, r"guess\['x'\]: expected 2 numbers"),
        ({"guess": {"x": lambda t: [t / 0 * 0, t]}}, ValueError, r"guess\['x'\]: expected 2 finite numbers at t = 0"),
        ({"guess": {"x": [[NAN, 0], [1, 0]]}}, ValueError, r"guess\['x'\]: expected finite numbers"),
        ({"guess": {"x": [NAN, 0]}}, ValueError, r"guess\['x'\]: expected finite numbers"),
        ({"guess": {"states": 0}}, ValueError, "guess: expected x, u, duration, parameters, got 'states'"),
        ({"guess": [0, 1]}, TypeError, "guess: expected a dictionary with x, u, ... or a Solution, got list"),
        ({"warm_start": {"x": 0}}, TypeError, "warm_start: expected a Solution of a problem like this one, got dict"),
        ({"tolerance": -3}, ValueError, "tolerance: expected a number >= 0"),
        ({"tol": 1e-3}, TypeError, "solve: expected keywords that it knows, got 'tol'; 'tolerance' may be meant"),
        ({"initial": 1e-3}, TypeError, "got 'initial'; 'initial_state' may be meant"),
        ({"zzz": 1}, TypeError, "got 'zzz'; they are nodes, scheme, .*, tolerance, max_iterations"),
        ({"guess": {"x": torch.zeros(0, 2)}}, ValueError, r"guess\['x'\]: expected at least one row"),
    ],
)
def test_solving_with_what_does_not_fit(given: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        block().solve(**{"nodes": 5, **given})


@pytest.mark.parametrize(
    ("duration", "error", "text"),
    [
        (30, ValueError, r"guess\['duration'\]: expected a number from 0\.5 to 9\.0, got 30\.0"),
        (NAN, ValueError, r"guess\['duration'\]: expected a number from 0\.5 to 9\.0, got nan"),
        ("long", TypeError, r"guess\['duration'\]: expected a number from 0\.5 to 9\.0, got 'long'"),
    ],
)
def test_guesses_of_durations(duration: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        hasty().solve(5, guess={"duration": duration})


def test_a_guess_with_too_few_parameters() -> None:
    with pytest.raises(ValueError, match=r"guess\['parameters'\]: expected 2 numbers, for p0, p1"):
        hasty(parameters=2).solve(5, guess={"parameters": [1]})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            {"dynamics": lambda x, u: torch.stack([x[1], u[0] + (0.6 - x[0]).sqrt()])},
            r"dynamics of speed: expected finite numbers at the guess, got some that are not at node 3 \(t = 0\.75\)",
        ),
        ({"running_cost": lambda x, u: (u[0] - 1).log()}, r"running_cost: expected finite .* at node 0 \(t = 0\)"),
        (
            {"path_constraint": lambda x, u: torch.stack([x[0], (0.6 - x[0]).log()])},
            r"path_constraint, number 1: expected finite .* at node 3 \(t = 0\.75\)",
        ),
        ({"final_cost": lambda x: (x[0] - 2).log()}, r"final_cost: expected finite .* at node 4 \(t = 1\)"),
        (
            {"boundary_constraint": lambda first, last: (last[0] - 2).log()},
            r"boundary_constraint, number 0: expected finite .* at node 4 \(t = 1\)",
        ),
    ],
)
@pytest.mark.parametrize("scheme", ["trapezoidal", "hermite-simpson", "rk4"])
def test_functions_that_are_not_finite_at_the_guess(given: dict[str, Any], text: str, scheme: str) -> None:
    with pytest.raises(NonFiniteError, match=text):
        block(**given).solve(5, scheme)


def test_the_problem_of_a_batch_that_is_not_finite_is_named() -> None:
    problem = block(dynamics=lambda x, u: torch.stack([x[1], u[0] + (x[0] + 0.5).sqrt()]))
    with pytest.raises(NonFiniteError, match=r"dynamics of speed: .* at node 0 \(t = 0\), in problem 1; give a guess"):
        problem.solve(5, initial_state=torch.tensor([[0.0, 0], [-1, 0]]))


@pytest.mark.parametrize("scheme", SCHEMES)
def test_ends_that_cannot_be_reached_are_named(scheme: str) -> None:
    found = block(control_bounds=(-1, 1)).solve(11, scheme)
    assert found.status is Status.INFEASIBLE
    text = found.explain()
    assert "Violated: dynamics of " in text
    assert re.search(r"force <= 1: t = 0(\.05)? to 0\.\d+ \(nodes 0 to \d\)", text)
    assert "position = 1 at node 10 (t = 1)" in text


def test_boundary_conditions_that_contradict_each_other_are_named() -> None:
    found = block(final_state=None, boundary_constraint=lambda first, last: torch.stack([last[0] - 1, last[0] - 2]))
    text = found.solve(11).explain()
    assert text.startswith("block move\ninfeasible")
    for number in (0, 1):
        assert f"boundary constraint {number} at node 10 (t = 1), by 0.5" in text
    both = block(periodic=True).solve(5).explain()  # and yet it is to end 1 m further
    assert "periodicity of position at node 4 (t = 1), by 0.5" in both


def test_a_path_that_begins_where_it_must_not_is_named() -> None:
    text = block(path_constraint=lambda x, u: x[0] - 0.5).solve(11).explain()
    assert "Violated: path constraint at node 0 (t = 0), by 0.5" in text


def assert_as_usual(dynamics: Callable[..., Any], scheme: str = "trapezoidal", usual: Any = None) -> None:
    """What the same dynamics give where they are written plainly."""
    found = pendulum(dynamics=dynamics).solve(15, scheme)
    wanted = (pendulum() if usual is None else pendulum(dynamics=usual)).solve(15, scheme)
    assert found.success
    assert found.cost == pytest.approx(wanted.cost, rel=1e-7)
    torch.testing.assert_close(found.x, wanted.x, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.costates, wanted.costates, atol=1e-4, rtol=0)


def branching(x: Tensor, u: Tensor) -> Tensor:
    """vmap knows no branches that depend on numbers."""
    sine = x[0].sin() if x[0] > 0.1 else -(-x[0]).sin()
    return torch.stack([x[1], u[0] - sine])


def filled(x: Tensor, u: Tensor) -> Tensor:
    rates = torch.zeros_like(x)
    rates[0] = x[1]
    rates[1] = u[0] - x[0].sin()
    return rates


def implicit(x: Tensor, u: Tensor) -> Tensor:
    """M(x) dx/dt = r(x, u), with a mass matrix."""
    one, mass = torch.ones_like(x[0]), 2 + x[0].cos()
    matrix = torch.stack([torch.stack([one, 0.1 * one]), torch.stack([0.1 * one, mass])])
    rate, push = x[1], u[0] - x[0].sin()
    found: Tensor = torch.linalg.solve(matrix, torch.stack([rate + 0.1 * push, 0.1 * rate + mass * push]))
    return found


def solved_plainly(x: Tensor, u: Tensor) -> Tensor:
    return torch.stack([x[1], u[0] - x[0].sin()])


class Given(torch.nn.Module):
    """A module whose parameters are fixed."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones((), dtype=torch.float64))

    def forward(self, x: Tensor, u: Tensor) -> Tensor:
        return torch.stack([x[1], u[0] - self.scale * x[0].sin()])


@pytest.mark.parametrize("scheme", ["trapezoidal", "hermite-simpson", "rk4"])
@pytest.mark.parametrize("dynamics", [branching, filled, implicit, Given()])
def test_any_way_to_write_dynamics(dynamics: Callable[..., Any], scheme: str) -> None:
    assert_as_usual(dynamics, scheme)


def test_other_forms_of_dynamics() -> None:
    assert_as_usual(lambda x, u: (x[1], u[0] - x[0].sin()))
    assert_as_usual(lambda *args: solved_plainly(*args))
    assert_as_usual(lambda x, u, t=None, p=None: solved_plainly(x, u))
    assert_as_usual(partial(lambda x, u, g: torch.stack([x[1], u[0] - g * x[0].sin()]), g=1.0))


def test_a_network_in_the_dynamics_has_right_derivatives() -> None:
    """Costates at the start are derivatives of the least cost."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    problem = pendulum(dynamics=lambda x, u: torch.stack([x[1], u[0] + net(torch.cat([x, u]))[0]]), control_bounds=None)
    found = problem.solve(15, tolerance=1e-11)
    step, slopes = 1e-4, []
    for state in range(2):
        first = torch.zeros(2, 2)
        first[0, state], first[1, state] = step, -step
        up, down = (problem.solve(15, initial_state=one.tolist(), tolerance=1e-11).cost for one in first)
        slopes.append((up - down) / (2 * step))
    assert found.costates[0].tolist() == pytest.approx(slopes, rel=1e-5)


def test_one_cannot_see_other_nodes() -> None:
    seen = set()

    def dynamics(x: Tensor, u: Tensor, t: Tensor, p: Tensor) -> Tensor:
        seen.add((tuple(x.shape), tuple(u.shape), tuple(t.shape), tuple(p.shape)))
        return pushed(x, u)

    assert block(dynamics=dynamics, parameters=3).solve(7).success
    assert seen == {((2,), (1,), (), (3,))}


def test_named_states_are_numbered_where_they_have_no_names() -> None:
    found = block(states=2, controls=1).solve(5)
    assert (found.states, found.controls) == (("x0", "x1"), ("u0",))


def test_it_starts_when_it_is_told() -> None:
    clocked = ControlProblem(
        dynamics=lambda x, u, t: t.cos() + u,
        states=1,
        controls=1,
        running_cost=lambda x, u: u.square().sum(),
        initial_state=[0],
        duration=2.0,
        initial_time=1.0,
    )
    found = clocked.solve(9, "rk4")
    assert found.t[0] == 1
    assert found.t[-1] == 3
    torch.testing.assert_close(found.x[:, 0], found.t.sin() - math.sin(1), atol=1e-5, rtol=0)
    assert found.cost == pytest.approx(0, abs=1e-12)


def test_solving_again_sets_nothing_up() -> None:
    problem = pendulum()
    assert problem.solver(11) is problem.solver(grid=5 * torch.linspace(0, 1, 11, dtype=torch.float64))
    assert problem.solver(11) is not problem.solver(12)
    first, second = (problem.solve(11) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert torch.equal(first.costates, second.costates)
    for nodes in range(5, 30):  # only the last few are kept
        problem.solver(nodes)
    assert problem.solver(11) is not problem.solver(12)


def test_compiled_functions_of_different_steps_have_different_names() -> None:
    """Which is how compiled ones are found again."""
    names = set()
    for scheme in (RungeKutta(), RungeKutta(controls="constant"), ALL["trapezoidal"]):
        (setup,) = block().solver(5, scheme).programme.phases
        stages = scheme.discretise(setup.chain, setup.problem.functions).stages
        names.add(stages[0].name)
    assert len(names) == 3
