"""Batches of problems, each held against its single solve."""

from typing import Any

import pytest
import torch
from moves import SCHEMES, block, hasty, pendulum

from banded import Solution, Solutions, Status

STARTS = torch.tensor([[0, 0], [0.3, -0.2], [-0.1, 0.4]], dtype=torch.float64)


def assert_like_single_ones(found: Solutions, alone: list[Solution]) -> None:
    assert len(found) == len(alone)
    assert found.status == tuple(one.status for one in alone)
    assert found.iterations.tolist() == [one.iterations for one in alone]
    for number, one in enumerate(alone):
        each = found[number]
        for name in ("t", "x", "u"):
            torch.testing.assert_close(getattr(found, name)[number], getattr(one, name))
            torch.testing.assert_close(getattr(each, name), getattr(one, name))
        for name in ("parameters", "costates", "path_multipliers", "error"):
            torch.testing.assert_close(getattr(each, name), getattr(one, name), atol=1e-7, rtol=1e-6)
        assert float(found.cost[number]) == pytest.approx(one.cost)
        assert float(found.duration[number]) == pytest.approx(one.duration)
        torch.testing.assert_close(found.parameters[number], one.parameters)
        assert each.explain().splitlines()[1] == one.explain().splitlines()[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_each_ends_as_if_alone(scheme: str) -> None:
    problem = pendulum(path_constraint=lambda x, u: 2 - x[1])
    found = problem.solve(15, scheme, initial_state=STARTS)
    assert isinstance(found, Solutions)
    assert_like_single_ones(found, [problem.solve(15, scheme, initial_state=one) for one in STARTS])


def test_free_durations_and_final_states() -> None:
    problem = hasty(parameters=("gain",), parameter_bounds=(1, 2))
    ends = torch.tensor([[1, 0], [2, torch.nan]], dtype=torch.float64)
    found = problem.solve(15, final_state=ends)
    assert_like_single_ones(found, [problem.solve(15, final_state=one) for one in ends])
    assert found.duration[0] != found.duration[1]


def test_a_problem_may_be_a_batch_itself() -> None:
    found = block(initial_state=STARTS).solve(9)
    assert isinstance(found, Solutions)
    assert len(found) == 3


def test_guesses_of_a_batch() -> None:
    problem = pendulum()
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    found: Any = problem.solve(15, guess={"x": x, "u": 0.1})
    assert_like_single_ones(found, [problem.solve(15, guess={"x": one, "u": 0.1}) for one in x])
    fine: Any = problem.solve(29, guess=found)
    assert_like_single_ones(fine, [problem.solve(29, guess=one) for one in found])
    rows: dict[str, Any] = {"x": x, "duration": torch.tensor([1.0, 3.0]), "parameters": [[1.5], [2.0]]}
    free = hasty(parameters=1, parameter_bounds=(1, 2))
    each = [{name: one[i] for name, one in rows.items()} for i in range(2)]
    both: Any = free.solve(9, guess=rows)
    assert_like_single_ones(both, [free.solve(9, guess=one) for one in each])


def test_warm_starts() -> None:
    problem = pendulum()
    cold = problem.solve(25, initial_state=STARTS)
    moved = problem.solve(25, initial_state=STARTS + 1e-3, warm_start=cold)
    assert bool(moved.success.all())
    assert int(moved.iterations.sum()) < int(cold.iterations.sum())
    one = problem.solve(25)
    near = problem.solve(25, initial_state=STARTS / 100, warm_start=one)
    assert int(near.iterations.max()) < one.iterations
    assert bool(problem.solve(30, initial_state=STARTS, warm_start=cold).success.all())


def test_it_is_a_sequence() -> None:
    found = block(control_bounds=(-9, 9)).solve(9, initial_state=torch.tensor([[0.0, 0], [0.5, 0], [0, 30]]))
    assert found[-1] is found[2]
    assert [one.cost for one in found[:2]] == found.cost[:2].tolist()
    assert len(list(found)) == 3
    with pytest.raises(IndexError):
        found[3]
    assert found.status[2] is Status.INFEASIBLE
    assert found.success.tolist() == [True, True, False]
    assert repr(found) == "<Solutions of 3 problems, 2 of them solved>"
    assert str(found).startswith("2 converged, 1 infeasible; cost ")


def test_one_row_is_a_batch_and_plain_numbers_are_not() -> None:
    assert isinstance(block().solve(5, initial_state=STARTS[:1]), Solutions)
    found = block().solve(5, initial_state=[0.1, 0])
    assert float(found.x[0, 0]) == 0.1


def test_batches_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="expected batches of one size, got 2, 3"):
        block().solve(5, initial_state=STARTS, final_state=STARTS[:2])
    with pytest.raises(ValueError, match="expected batches of one size, got 3, 4"):
        block().solve(5, initial_state=STARTS, guess={"x": torch.zeros(4, 5, 2)})
    with pytest.raises(ValueError, match="at most one dimension that counts problems, got 2"):
        block().solve(5, initial_state=STARTS[None])
