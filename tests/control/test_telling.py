"""Solutions in words."""

import re
from dataclasses import replace

import pytest
import torch
from moves import SCHEMES, block, effort, hasty, moved

from banded import NonFiniteError, Status
from banded.control.activity import active


@pytest.mark.parametrize("scheme", SCHEMES)
def test_active_bounds_are_named_with_their_times(scheme: str) -> None:
    solution = moved(scheme)
    lower, upper = active(solution.result)
    assert (lower.name, upper.name) == ("force >= -5", "force <= 5")
    assert (lower.of, lower.is_upper, upper.is_upper) == ("force", False, True)
    (span,) = upper.spans
    assert span.nodes[0] == 0
    h = 1 / 20
    tight = (solution.u[:, 0] > 5 - 1e-6).nonzero()[:, 0].tolist()
    assert tight[-1] - 1 <= span.nodes[1] <= tight[-1]
    assert abs(span.last - float(solution.t[span.nodes[1]])) <= h / 2 + 1e-9
    text = solution.explain()
    assert re.search(r"force <= 5: t = 0(\.025)? to 0\.\d+ \(nodes 0 to \d\)", text)
    assert "All equations, bounds and path constraints are met." in text
    assert "in the worst interval, from node" in text
    assert "Hardest of the dynamics: position" in text
    assert "falls by 2" in text  # dJ/dx, -24 without bounds


@pytest.mark.parametrize("unit", [1e-4, 1.0, 1e4])
def test_units_of_a_control_do_not_matter_to_what_is_active(unit: float) -> None:
    """Full force, and then full brakes: at all nodes but those beside the switch, whose multipliers vanish."""
    usual = hasty(
        dynamics=lambda x, u: torch.stack([x[1], u[0] / unit]), control_bounds=(-unit, unit), guess={"u": [0.1 * unit]}
    )
    path = replace(
        usual,
        control_bounds=None,
        path_constraint=lambda x, u: torch.stack([u[0] + unit, unit - u[0]]),
    )
    for problem in (usual, path) if unit >= 1 else (usual,):
        solution = problem.solve(41)
        assert solution.success
        lower, upper = active(solution.result)
        (braking,), (pushing,) = lower.spans, upper.spans
        assert pushing.nodes[0] == 0
        assert 18 <= pushing.nodes[1] <= 20 <= braking.nodes[0] <= 22
        assert braking.nodes[1] == 40


def test_all_kinds_of_constraints_are_named() -> None:
    problem = hasty(
        path_constraint=lambda x, u: torch.stack([0.5 - x[1], 3 + u[0]]),
        duration=(2.6, 9.0),
        running_cost=effort,
        state_bounds=([-1, -1], [1, 0.48]),
    )
    text = problem.solve(41).explain()
    assert re.search(r"speed <= 0\.48: t = \d\.\d+ to \d\.\d+ \(nodes \d+ to \d+\)", text)
    assert "path constraint 0" not in text
    text = replace(problem, state_bounds=None).solve(41).explain()
    assert re.search(r"path constraint 0: t = ", text)
    assert "path constraint 1" not in text


def test_a_free_duration_and_parameters_have_no_times() -> None:
    problem = hasty(duration=(3.5, 9.0), parameters=("gain",), parameter_bounds=(1, 4), running_cost=effort)
    solution = problem.solve(21)
    assert "\n  duration >= 3.5; multiplier up to" in solution.explain()
    assert "gain" in str(solution)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_cannot_be_met_is_named_with_state_and_node(scheme: str) -> None:
    solution = block(control_bounds=(-1, 1)).solve(30, scheme)
    assert solution.status is Status.INFEASIBLE
    text = solution.explain()
    assert re.search(
        r"Violated: (dynamics|middle state) of position (from|after) node \d+ \(t = 0(\.\d+)?\), by 0\.0", text
    )
    assert "What stands against it:\n  force >= -1: t = 0.5" in text
    assert "position = 1 at node 29 (t = 1)" in text
    assert "Next: Give it what it lacks: a longer or free duration" in text
    assert "violation" in str(solution)
    assert str(solution).endswith(Status.INFEASIBLE.value)


def test_boundary_conditions_that_cannot_be_met_are_named() -> None:
    problem = block(
        final_state=None,
        boundary_constraint=lambda first, last: torch.stack([last[0] - first[0] - 1, last[1] - first[1] - 9]),
        periodic=("speed",),
        control_bounds=(-9, 9),
    )
    text = problem.solve(20).explain()
    assert re.search(r"(boundary constraint 1|periodicity of speed) at node 19 \(t = 1\), by", text)


def test_a_limit_that_came_first() -> None:
    text = block(control_bounds=(-5, 5)).solve(30, max_iterations=2).explain()
    assert text.startswith("block move\nmax iterations: cost ")
    assert "solve(guess=solution, max_iterations=...)" in text


def test_a_coarse_grid_is_told() -> None:
    text = block().solve(5, "euler").explain()
    assert "twice the nodes make the error about 4 times smaller" in text
    assert "hermite-simpson" in text.splitlines()[-1]
    assert "No bound or path constraint is active." in text


def test_errors_in_few_intervals_ask_for_a_finer_grid_there() -> None:
    problem = block(
        dynamics=lambda x, u: u - x**3,
        states=1,
        initial_state=1,
        final_state=1.5,
        running_cost=lambda x, u: x[0] ** 2 + u[0] ** 2,
        duration=20.0,
    )
    text = problem.solve(40).explain()
    assert re.search(r"\d of 39 intervals hold 90% of it, the worst one from node \d+ .*solve\(accuracy=1e-6\)", text)


def test_what_is_not_finite_is_named_with_state_and_node() -> None:
    problem = block(dynamics=lambda x, u: torch.stack([x[1], u[0] + (0.7 - x[0]).log()]))
    for scheme in SCHEMES:
        with pytest.raises(
            NonFiniteError, match=r"(dynamics of speed|dynamics of position): .* (at|after) node \d+ \(t = 0\."
        ):
            problem.solve(21, scheme)
    with pytest.raises(NonFiniteError, match=r"running_cost: .* not (at|after) node \d+ \(t = 0\."):
        block(running_cost=lambda x, u: (0.7 - x[0]).log()).solve(21, "midpoint")
    states = torch.tensor([[0, 0], [2, 0]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="in problem 1"):
        block(running_cost=lambda x, u: (1.1 - x[0]).log(), final_state=None).solve(5, initial_state=states)
