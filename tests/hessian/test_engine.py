"""Which engine is chosen, and what is said of it."""

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded.hessian.engine import eager_engine
from banded.hessian.products import Engine, Function
from oracles import rosenbrock

MEMORY = 2**29


class Item(torch.autograd.Function):
    """x² whose backward no vmap runs through; in the new style, so that vmap may run the forward in copies."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**2

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def vmap(info: Any, dims: Any, x: Tensor) -> tuple[Tensor, int]:
        result: Tensor = Item.apply(x)  # type: ignore[no-untyped-call]
        return result, dims[0]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        assert grads[0].abs().max().item() < 1e300
        derivative: Tensor = 2 * x * grads[0]
        return derivative


def copies_only(x: Tensor) -> Tensor:
    total: Tensor = (Item.apply(x[1:]) * x[:-1]).sum()  # type: ignore[no-untyped-call]
    return total


def branches(x: Tensor) -> Tensor:
    return rosenbrock(x) if x[0].item() < 1e9 else x.sum()


def test_the_first_that_runs_is_chosen() -> None:
    x = torch.randn(12, dtype=torch.float64)
    names = {}
    for f in (rosenbrock, branches, copies_only):
        choice = eager_engine(f, x, MEMORY)
        names[f.__name__] = choice.name
        probes = torch.randn(5, 12, dtype=torch.float64)
        dense: Any = torch.autograd.functional.hessian(f, x)  # type: ignore[no-untyped-call]
        value, _, products = choice.run(x, probes)
        torch.testing.assert_close(products, probes @ dense)
        torch.testing.assert_close(choice.value(x), value)
    assert names == {"rosenbrock": "batched", "branches": "batched", "copies_only": "replicated"}
    assert "batched failed: RuntimeError" in eager_engine(copies_only, x, MEMORY).reason


def failing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(f: Function, *options: Any) -> Engine:
        def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            raise RuntimeError(f"{name} will not\nfor many reasons")

        return engine

    monkeypatch.setattr(sys.modules["banded.hessian.engine"], name, make)


def test_the_loop_is_left_where_nothing_else_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(9, dtype=torch.float64)
    failing("batched", monkeypatch)
    assert banded.plan(rosenbrock, x).engine == "replicated"
    failing("replicated", monkeypatch)
    plan = banded.plan(rosenbrock, x)
    assert plan.engine == "loop"
    assert plan.reason == (
        "batched failed: RuntimeError: batched will not; replicated failed: RuntimeError: replicated will not"
    )
    dense: Any = torch.func.hessian(rosenbrock)(x)
    torch.testing.assert_close(plan(x)[2].to_dense(), dense)
    assert banded.verify(plan, dense=True)


@pytest.mark.parametrize("batch", [(), (3,)])
def test_errors_of_f_itself_are_not_swallowed(batch: tuple[int, ...]) -> None:
    def f(x: Tensor) -> Tensor:
        if calls:
            raise RuntimeError("mine")
        return rosenbrock(x)

    calls = 0
    x = torch.randn(*batch, 9, dtype=torch.float64)
    plan = banded.plan(f, x, batch_dims=len(batch))
    calls = 1
    evaluations: list[Callable[[Tensor], Any]] = [plan, plan.value, plan.compressed]
    for evaluate in evaluations:
        with pytest.raises(RuntimeError, match="mine"):
            evaluate(x)
    with pytest.raises(RuntimeError, match="mine"):
        banded.plan(f, x, batch_dims=len(batch))


def test_passes_are_cut_to_the_memory_there_is() -> None:
    def hungry(x: Tensor) -> Tensor:
        """Holds many times x."""
        return sum(((x[1:] * x[:-1] * i).sin().sum() for i in range(20)), torch.zeros((), dtype=x.dtype))

    x = torch.randn(5000, dtype=torch.float64)
    assert eager_engine(hungry, x, MEMORY).reason == "vectorised double backward"
    reasons = [eager_engine(hungry, x, memory).reason for memory in (2**24, 2**20, 1)]
    assert all("at a time to keep within" in reason for reason in reasons)
    numbers = [int(reason.split(", ")[1].split()[0]) for reason in reasons]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[-1] == 1
