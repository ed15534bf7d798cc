"""Plans of problems with constraints, solved often."""

from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded.problems import PROBLEMS


def solved_anew(name: str, nodes: int) -> tuple[Any, Any, Any]:
    problem = PROBLEMS[name](nodes)
    plan = banded.plan_constrained(
        problem.objective, problem.start, equality=problem.equality, inequality=problem.inequality
    )
    return problem, plan, problem.solve()


@pytest.mark.parametrize(("name", "nodes"), [("cartpole", 20), ("corkscrw", 10), ("pentdi", 50)])
def test_a_plan_solves_the_problem_that_it_was_made_of(name: str, nodes: int) -> None:
    problem, plan, expected = solved_anew(name, nodes)
    result = banded.minimize(plan, problem.start, bounds=problem.bounds)
    assert result.success
    assert result.value == pytest.approx(expected.value, rel=1e-7)
    assert str(plan).startswith(f"Plan for {problem.start.numel()} unknowns with {plan.m} constraints")


def test_what_is_written_into_closed_over_tensors_is_seen() -> None:
    target = torch.zeros(6, dtype=torch.float64)
    plan = banded.plan_constrained(
        lambda x: (x - target).square().sum(), torch.ones(6, dtype=torch.float64), equality=lambda x: x[:1] - 1
    )
    for value in (2.0, -3.0):
        target.fill_(value)
        x = banded.minimize(plan, torch.zeros(6, dtype=torch.float64)).x
        torch.testing.assert_close(x, torch.tensor([1.0, *[value] * 5], dtype=torch.float64))


def test_batches_and_data_and_warm_starts() -> None:
    goals = torch.tensor([[1.0], [2.0], [5.0]], dtype=torch.float64)

    def loss(x: Tensor, goal: Tensor) -> Tensor:
        return (x - goal).square().sum() + (x[1:] - x[:-1]).square().sum()

    start = torch.zeros(3, 8, dtype=torch.float64)
    plan = banded.plan_constrained(loss, start, args=(goals,), batch_dims=1)
    results = banded.minimize(plan, start, bounds=(None, 3.0), batch_dims=1)
    torch.testing.assert_close(results.x, goals.clamp(max=3).expand(3, 8), rtol=0, atol=1e-7)
    again = banded.minimize(plan, results.x.detach(), bounds=(None, 3.0), warm_start=results, batch_dims=1)
    assert int(again.iterations.max()) <= 2


def test_what_does_not_go_with_a_plan() -> None:
    x = torch.ones(5, dtype=torch.float64)
    plan = banded.plan_constrained(lambda x: x.square().sum(), x, equality=lambda x: x[:1] - 1)
    with pytest.raises(TypeError, match="expected none with a plan"):
        banded.minimize(plan, x, inequality=lambda x: x)
    with pytest.raises(TypeError, match="args: expected none with a Plan"):
        banded.minimize(plan, x, args=(x,))
    with pytest.raises(ValueError, match=r"expected \(5,\)"):
        banded.minimize(plan, torch.ones(6, dtype=torch.float64))
    with pytest.raises(TypeError, match="plan_constrained"):
        banded.minimize(banded.plan(lambda x: x.square().sum(), x), x, bounds=(0, 1))
    with pytest.raises(TypeError, match="expected a function, got a Plan"):
        banded.plan_constrained(banded.plan(lambda x: x.square().sum(), x), x)  # type: ignore[arg-type]
