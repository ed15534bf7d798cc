"""Plans that are compiled, and plans inside what callers compile."""

import pickle
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from oracles import rosenbrock


def dense(f: Any, x: Tensor) -> Tensor:
    H: Any = torch.func.hessian(f)(x)
    result: Tensor = H
    return result


def test_compiled_plans_give_the_same() -> None:
    x, y = torch.randn(2, 20, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, compile=True)
    assert (plan.engine, plan.reason) == ("compiled", "the whole product in one graph")
    for point in (x, y, y.requires_grad_()):
        value, gradient, H = plan(point, check=True)
        torch.testing.assert_close(H.to_dense(), dense(rosenbrock, point.detach()))
        torch.testing.assert_close(gradient, torch.func.grad(rosenbrock)(point.detach()))
        torch.testing.assert_close(value, rosenbrock(point.detach()))
        torch.testing.assert_close(plan.value(point), value)
        assert not any(t.requires_grad for t in (value, gradient, H.band, plan.value(point)))
    assert banded.verify(plan, dense=True)
    again = pickle.loads(pickle.dumps(plan))
    assert again.engine == "compiled"
    torch.testing.assert_close(again(x)[2].to_dense(), dense(rosenbrock, x))
    with torch.inference_mode():
        torch.testing.assert_close(plan(x.clone())[2].to_dense(), dense(rosenbrock, x))


def test_numbers_that_f_reads_are_no_constants_of_the_graph() -> None:
    x = torch.randn(2, dtype=torch.float64)
    numbers = {"a": 0.0}
    weight = torch.zeros((), dtype=torch.float64)
    plan = banded.plan(lambda x: rosenbrock(x) + (numbers["a"] + weight) * x[0] ** 2, x, compile=True)
    for number in range(3):
        numbers["a"] = float(number)
        weight.fill_(number)
        assert float(plan(x)[1][0]) == pytest.approx(float(torch.func.grad(rosenbrock)(x)[0] + 4 * number * x[0]))


def test_what_cannot_be_compiled_runs_without_and_says_why() -> None:
    def branches(x: Tensor) -> Tensor:
        return rosenbrock(x) if x.sum().item() < 1e9 else x.square().sum()

    x = torch.randn(20, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="compiling failed.*continuing with the batched engine"):
        plan = banded.plan(branches, x, compile=True)
    assert plan.engine == "batched"
    assert "compiling failed" in plan.reason
    torch.testing.assert_close(plan(x)[2].to_dense(), dense(rosenbrock, x))


def test_functions_as_users_write_them() -> None:
    weights = torch.nn.Linear(1, 4).double()

    def f(x: Tensor) -> Tensor:
        """In-place writes, indexing, a loop, where, a module and linear systems, in one compilation."""
        y = torch.zeros_like(x)
        y[1:] = x[1:] * x[:-1]
        total = y.square().sum() + torch.where(x > 0, x**4, x**2).sum() + weights(x[:, None]).tanh().sum()
        for a, b in pairwise(x[:4]):
            total = total + (a * b).sin()
        nodes = x.reshape(-1, 2)
        matrices = 3 * torch.eye(2, dtype=x.dtype) + 0.1 * nodes[:-1, :, None] * nodes[:-1, None, :]
        solved: Tensor = torch.linalg.solve(matrices, nodes[1:, :, None]).square().sum()
        everything: Tensor = total + solved + (x[torch.arange(10)] * x[torch.arange(2, 12)]).sum()
        return everything

    x, y = torch.randn(2, 12, dtype=torch.float64)
    plan = banded.plan(f, x, compile=True)
    assert plan.engine == "compiled"
    for point in (x, y):
        torch.testing.assert_close(plan(point)[2].to_dense(), dense(f, point), rtol=1e-10, atol=1e-10)
    assert banded.verify(plan, y)


def test_batches_of_trees_with_a_border_compiled() -> None:
    def f(x: dict[str, Tensor]) -> Tensor:
        return rosenbrock(x["a"]) + (x["a"] * x["d"]).sin().sum()

    x = {"a": torch.randn(3, 8).double(), "d": torch.randn(3).double()}
    plan = banded.plan(f, x, batch_dims=1, compile=True)
    assert (plan.engine, plan.border) == ("compiled", 1)
    eager = banded.plan(f, x, batch_dims=1)
    for mine, other in zip(plan(x), eager(x), strict=True):
        one, two = (plan.flatten(t) if isinstance(t, dict) else getattr(t, "band", t) for t in (mine, other))
        torch.testing.assert_close(one, two)
    assert banded.verify(plan, dense=True)


@pytest.mark.parametrize("compile", [False, True])
def test_plans_inside_what_callers_compile(compile: bool) -> None:
    x = torch.full((12,), 0.5, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, compile=compile)

    @torch.compile
    def step(x: Tensor) -> tuple[Tensor, Tensor]:
        value, gradient, H = plan(2 * x / 2)
        return x - 0.1 * gradient.sin(), value + H.diagonal().sum()

    for point in (x, x + 0.1):
        new, total = step(point)
        gradient = torch.func.grad(rosenbrock)(point)
        torch.testing.assert_close(new, point - 0.1 * gradient.sin())
        torch.testing.assert_close(total, rosenbrock(point) + dense(rosenbrock, point).trace())


def test_extraction_and_newton_inside_what_callers_compile() -> None:
    x = torch.full((12,), 0.5, dtype=torch.float64)

    @torch.compile
    def curvature(x: Tensor) -> Tensor:
        return 2 * banded.hessian(rosenbrock, x / 2).diagonal()

    @torch.compile
    def optimum(x: Tensor) -> Tensor:
        best: Tensor = banded.minimize(rosenbrock, x).x
        return best * 2

    torch.testing.assert_close(curvature(x), 2 * dense(rosenbrock, x / 2).diagonal())
    torch.testing.assert_close(optimum(x), torch.full((12,), 2.0, dtype=torch.float64))
