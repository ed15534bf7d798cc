"""Pictures of solutions."""

from dataclasses import replace
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import torch
from moves import SCHEMES, block, dot, hasty, moved, pendulum

import banded

pytest.importorskip("matplotlib")


def titles(figure: Any) -> list[str]:
    figure.savefig(BytesIO(), dpi=30)
    return [axes.get_title(loc="left") for axes in figure.axes]


LAST = ["position", "speed", "force", "error of each interval, relative", "active bounds and path constraints"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_panel_for_each_state_and_control(scheme: str) -> None:
    solution = moved(scheme)
    assert titles(solution.plot()) == [*LAST[:3], *LAST[3:]] or titles(solution.plot())[1:] == LAST
    with_costates = titles(solution.plot(costates=True))
    assert {"costate of position", "costate of speed"} <= set(with_costates)


def test_bounds_are_drawn_where_they_are_near() -> None:
    axes = {one.get_title(loc="left"): one for one in moved().plot().axes}
    dashed = [float(np.asarray(line.get_ydata())[0]) for line in axes["force"].lines if line.get_linestyle() == "--"]
    assert dashed == [-5, 5]
    assert not [line for line in axes["speed"].lines if line.get_linestyle() == "--"]
    far = block(control_bounds=(-500, 500)).solve(5).plot()
    assert not [line for line in far.axes[2].lines if line.get_linestyle() == "--"]
    low, high = far.axes[2].get_ylim()
    assert high - low < 20


def test_title_tells_cost_and_status() -> None:
    for problem, words in ((block(), "converged: cost 12.1"), (block(control_bounds=(-1, 1)), "infeasible: cost")):
        assert words in str(problem.solve(20).plot().get_suptitle())


def test_solutions_without_problem_or_result_or_bounds() -> None:
    for solution in (
        replace(moved(), problem=None, result=None),
        hasty().solve(15),
        block(scene=dot).solve(120),
        banded.ControlProblem(dynamics=lambda x, u: -x, states=1, initial_state=[1.0]).solve(4),
        banded.ControlProblem(dynamics=lambda x, u: 0 * x, states=1, initial_state=[1e9]).solve(2),
    ):
        titles(solution.plot(costates=True))


def test_many_states_share_a_panel() -> None:
    problem = banded.ControlProblem(
        dynamics=lambda x, u: u[:1] - x,
        states=20,
        controls=1,
        running_cost=lambda x, u: u[0] ** 2,
        initial_state=[1.0] * 20,
    )
    assert titles(problem.solve(10).plot())[:2] == ["20 states", "u0"]


def test_batches() -> None:
    starts = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.0, 9.0]], dtype=torch.float64)
    solutions = block(control_bounds=(-9, 9)).solve(15, initial_state=starts)
    assert titles(solutions.plot()) == ["position", "speed", "force"]
    titles(pendulum().solve(10, initial_state=starts[:1]).plot())
