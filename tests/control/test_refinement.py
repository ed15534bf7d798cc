"""Grids that are made finer until an accuracy is reached."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from moves import SCHEMES, block, hasty, pendulum

from banded import NonFiniteError, RungeKutta, Scheme, Status
from banded.control.refinement import LEAST, ROUNDS, Round, refined
from banded.problems import hypersensitive


@pytest.mark.parametrize(
    ("scheme", "accuracy"),
    [("euler", 1e-4), ("trapezoidal", 1e-6), ("hermite-simpson", 1e-8), ("midpoint", 1e-4), ("rk4", 1e-8)],
)
def test_the_accuracy_is_reached(scheme: str, accuracy: float) -> None:
    found = pendulum(control_bounds=None).solve(11, scheme, accuracy=accuracy)
    assert found.success
    assert found.accuracy <= accuracy
    assert found.accuracy == float(found.error.max())
    assert (found.asked, found.missed) == (accuracy, "")
    assert "asked for" not in found.explain()
    first, *_, last = found.rounds
    assert (first.nodes, last.nodes) == (11, len(found.t))
    assert first.accuracy > accuracy >= last.accuracy == found.accuracy
    assert last.iterations == found.iterations
    assert len(found.rounds) <= 4  # a smooth solution takes few: its errors fall as the scheme says
    assert all(before.nodes < after.nodes for before, after in pairwise(found.rounds))


def test_the_motion_is_as_accurate_as_that() -> None:
    coarse, fine = (pendulum(control_bounds=None).solve(11, "rk4", accuracy=one) for one in (1e-4, 1e-8))
    assert fine.simulate().gap < 1e-6 < coarse.simulate().gap


def test_nodes_are_added_where_the_error_is() -> None:
    """The hypersensitive problem moves at both ends only."""
    found = hypersensitive().solve(51, "hermite-simpson", accuracy=1e-8)
    assert found.accuracy <= 1e-8
    inside = (found.t > 15) & (found.t < 35)
    assert int(inside.sum()) <= 21 < len(found.t) - int(inside.sum())
    assert found.cost == pytest.approx(1.3308069, abs=1e-6)


def test_a_jump_of_a_control_is_closed_in_on() -> None:
    """The force turns from 1 to -1 in the middle, where no node is: intervals there shrink, and only there."""
    found = hasty().solve(12, accuracy=1e-6)
    assert found.accuracy <= 1e-6
    h = found.t.diff()
    assert float(h.min()) < float(h.max()) / 20
    assert float((found.t[int(h.argmin())] - 1).abs()) < 0.05
    assert found.cost == pytest.approx(2, abs=1e-4)


def test_a_grid_that_is_fine_enough_stays() -> None:
    found = block().solve(6, "hermite-simpson", accuracy=1e-6)
    assert len(found.rounds) == 1
    assert len(found.t) == 6


def test_there_are_no_more_nodes_than_allowed() -> None:
    found = pendulum().solve(11, accuracy=1e-12, max_nodes=40)
    assert 30 <= len(found.t) <= 40
    assert found.accuracy > 1e-12
    assert (found.asked, found.missed) == (1e-12, "there may be no more nodes than max_nodes=40")
    told = "An accuracy of 1e-12 was asked for, and is missed: there may be no more nodes than max_nodes=40."
    assert told in str(found)
    assert told in found.explain()
    assert "asked=1e-12, missed='there may be no more nodes" in repr(found)
    assert len(pendulum().solve(11, accuracy=1e-12, max_nodes=5).t) == 11


class Fails:
    """The pendulum, on grids of which the second one fails."""

    def __init__(self, failure: dict[str, Any] | None) -> None:
        self.failure = failure
        self.grids: list[torch.Tensor] = []

    def __call__(self, grids: tuple[torch.Tensor, ...], earlier: Any) -> Any:
        (grid,) = grids
        self.grids.append(grid)
        if earlier is None:
            return pendulum().solve(grid=grid)
        if self.failure is None:
            raise NonFiniteError("dynamics of turn: expected finite numbers at the guess")
        return replace(earlier, **self.failure)


@pytest.mark.parametrize("status", [Status.INFEASIBLE, Status.MAX_ITERATIONS, Status.INTERRUPTED, Status.NON_FINITE])
def test_what_a_finer_grid_spoils_is_kept(status: Status) -> None:
    finite = status is not Status.NON_FINITE
    solve = Fails({"status": status, "iterations": 17} if finite else None)
    grid = torch.linspace(0, 1, 9, dtype=torch.float64)
    found = refined(solve, lambda found: (found.error,), (grid,), 1e-6, (3,), 5000)
    first, second = (len(grid) for grid in solve.grids)
    assert found.success
    assert len(found.t) == first == 9
    assert found.missed == f"the next grid, of {second} nodes, ended as {status.name}: this is the one before"
    assert [(one.nodes, one.status) for one in found.rounds] == [(9, Status.CONVERGED), (second, status)]
    assert found.rounds[-1].iterations == (17 if finite else 0)
    assert found.missed in found.explain()


def test_a_finer_grid_that_really_fails() -> None:
    """A gate is closed where only finer grids have nodes."""

    def gate(x: torch.Tensor, u: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.where((t - 0.125).abs() < 0.1, -1.0, 1.0).double() + 0 * x[0]

    found = block(path_constraint=gate).solve(5, accuracy=1e-5)
    assert found.success
    assert len(found.t) == 5
    assert found.rounds[-1].status is Status.INFEASIBLE
    assert "ended as INFEASIBLE: this is the one before" in str(found)


def test_an_error_that_nobody_knows_is_told() -> None:
    def rate(x: torch.Tensor, u: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return torch.stack([x[1], u[0] + torch.where((t - 0.125).abs() < 0.1, torch.nan, 0.0)])

    found = block(dynamics=rate).solve(5, accuracy=1e-5)
    assert found.missed == "functions are not finite between the nodes, which leaves the error unknown"


def test_a_grid_of_ones_own_is_divided() -> None:
    grid = torch.tensor([0, 0.1, 0.5, 0.6, 1.0], dtype=torch.float64)
    found = pendulum(control_bounds=None).solve(grid=grid, accuracy=1e-4)
    for s in grid:
        assert float((found.t / 5 - s).abs().min()) < 1e-12


def test_what_is_not_solved_is_not_refined() -> None:
    found = block(control_bounds=(-1, 1)).solve(11, accuracy=1e-6)
    assert found.status is Status.INFEASIBLE
    assert len(found.rounds) == 1


def test_a_duration_that_is_found_and_a_guess() -> None:
    coarse = hasty().solve(7)
    found = hasty().solve(7, accuracy=1e-4, guess=coarse, warm_start=coarse)
    assert found.accuracy <= 1e-4
    assert found.rounds[0].iterations <= coarse.iterations


def test_it_ends_though_the_error_never_falls() -> None:
    """What rounds there were is told of all of them, the last one, too."""
    solution = block().solve(3)
    grids: list[torch.Tensor] = []

    def solve(given: tuple[torch.Tensor, ...], earlier: Any) -> Any:
        (grid,) = given
        assert (earlier is None) == (not grids)
        grids.append(grid)
        return replace(solution, error=torch.cat([torch.ones(1), torch.zeros(len(grid) - 2)]).double())

    found = refined(solve, lambda one: (one.error,), (torch.linspace(0, 1, 3, dtype=torch.float64),), 1e-3, (4,), 10**6)
    assert len(grids) == len(found.rounds) <= ROUNDS
    assert found.rounds[-1] == Round(len(grids[-1]), 1.0, solution.iterations, Status.CONVERGED)
    assert found.missed == "12 grids were not enough" if len(found.rounds) == ROUNDS else "as short as" in found.missed
    assert float(grids[-1].diff().min()) > LEAST / 10
    assert bool((grids[-1].diff() > 0).all())


@pytest.mark.parametrize("scheme", [*SCHEMES, RungeKutta(controls="constant")])
def test_solving_again_gives_the_same(scheme: str | Scheme) -> None:
    first, second = (pendulum().solve(9, scheme, accuracy=1e-2) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert first.rounds == second.rounds


@pytest.mark.parametrize("accuracy", [0, -1e-6, "1e-6", float("nan")])
def test_accuracies_that_are_none(accuracy: Any) -> None:
    with pytest.raises(ValueError, match="accuracy: expected a positive number such as 1e-6, or None, got"):
        block().solve(5, accuracy=accuracy)


def test_other_bad_values() -> None:
    half: dict[str, Any] = {"max_nodes": 40.5}
    with pytest.raises(TypeError, match=r"max_nodes: expected a whole number, got 40\.5"):
        block().solve(5, accuracy=1e-3, **half)
    with pytest.raises(ValueError, match="expected None with a batch, whose problems share a grid; refine each alone"):
        block().solve(5, accuracy=1e-3, initial_state=torch.tensor([[0, 0], [0.5, 0]]))
