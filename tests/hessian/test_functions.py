"""Functions as users write them, for every engine and method."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded.hessian.products import Engine, Function, batched, loop, replicated
from oracles import rosenbrock

N = 12
METHODS = ["direct", "symmetric", "fourier", "random", "auto"]
ENGINES: dict[str, Callable[[Function], Engine]] = {
    "loop": loop,
    "batched": lambda f: batched(f, rows=5),
    "replicated": replicated,
}


class Cube(torch.autograd.Function):
    """An old-style function, which torch.func refuses."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        derivative: Tensor = 3 * x**2 * grads[0]
        return derivative


class ViaNumpy(torch.autograd.Function):
    """A step whose derivative nobody can vectorise."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.from_numpy(x.detach().numpy() ** 2)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        if grads[0].sum().item() > 1e300:
            raise ValueError("too large")
        derivative: Tensor = 2 * x * grads[0]
        return derivative


def in_place(x: Tensor) -> Tensor:
    y = torch.zeros(len(x), dtype=x.dtype)
    y[1:] = x[1:] * x[:-1]
    y[0] = x[0]
    y *= 2
    return y.square().sum()


def python_loop(x: Tensor) -> Tensor:
    total = torch.zeros((), dtype=x.dtype)
    for a, b in pairwise(x):
        total = total + (a * b).sin()
    return total


def scan(x: Tensor) -> Tensor:
    """A simulation whose forces are the unknowns: everything couples to what comes after."""
    position, speed = torch.zeros((), dtype=x.dtype), torch.ones((), dtype=x.dtype)
    cost = torch.zeros((), dtype=x.dtype)
    for force in x:
        speed = speed + 0.1 * force - 0.1 * position.sin()
        position = position + 0.1 * speed
        cost = cost + position.square() + force**4
    return cost


def old_style(x: Tensor) -> Tensor:
    total: Tensor = Cube.apply(x[1:] + x[:-1]).sum()  # type: ignore[no-untyped-call]
    return total


def numpy_inside(x: Tensor) -> Tensor:
    total: Tensor = (ViaNumpy.apply(x[1:]) * x[:-1]).sum()  # type: ignore[no-untyped-call]
    return total


def where(x: Tensor) -> Tensor:
    return torch.where(x[1:] > 0, x[1:] ** 2 * x[:-1], x[1:] ** 4).sum()


def indexing(x: Tensor) -> Tensor:
    first, second = torch.arange(N - 2), torch.arange(2, N)
    return (x[first] * x[second]).square().sum() + x[[0, 0, 3]].prod() + x[-1] ** 2


def scatter(x: Tensor) -> Tensor:
    sums = torch.zeros(N // 3, dtype=x.dtype).index_add(0, torch.arange(N) // 3, x)
    return (sums**4).sum()


def linear_systems(x: Tensor) -> Tensor:
    nodes = x.reshape(-1, 3)
    matrices = 3 * torch.eye(3, dtype=x.dtype) + 0.1 * nodes[:-1, :, None] * nodes[:-1, None, :]
    solved: Tensor = torch.linalg.solve(matrices, nodes[1:, :, None]).square().sum()
    return solved


def einsum(x: Tensor) -> Tensor:
    a = x.reshape(-1, 2)
    total: Tensor = torch.einsum("ti,tj,ij->", a[1:], a[:-1], torch.tensor([[1.0, 2], [3, 4]], dtype=x.dtype)).sin()
    return total


NETWORK = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()


def module(x: Tensor) -> Tensor:
    total: Tensor = NETWORK(x[:, None]).sum() + (x[1:] * x[:-1]).sum()
    return total


def branch(x: Tensor) -> Tensor:
    return rosenbrock(x) if x[0].item() > -1e9 else x.square().sum()


def checkpointed(x: Tensor) -> Tensor:
    kept: Any = torch.utils.checkpoint.checkpoint(lambda y: (y[1:] * y[:-1]).cos(), x, use_reentrant=False)
    total: Tensor = kept.sum()
    return total


def einsum_of_all(x: Tensor) -> Tensor:
    return (x[:-2] * x[1:-1] * x[2:]).sum().exp()


EVERY: list[Function] = [
    in_place,
    python_loop,
    scan,
    old_style,
    numpy_inside,
    where,
    indexing,
    scatter,
    linear_systems,
    einsum,
    module,
    branch,
    checkpointed,
    einsum_of_all,
]
NOT_REPLICATED = [in_place, old_style, numpy_inside, branch, checkpointed]  # PyTorch's vmap refuses these
NOT_BATCHED = [numpy_inside]


def dense(f: Function, x: Tensor) -> Tensor:
    H: Tensor = torch.autograd.functional.hessian(f, x)  # type: ignore[no-untyped-call]
    return H


@pytest.mark.parametrize("f", EVERY, ids=lambda f: f.__name__)
def test_every_method_agrees_with_dense_derivatives(f: Function) -> None:
    x, y = torch.randn(2, N, dtype=torch.float64)
    x, y = x + 0.3 * x.sign(), y + 0.3 * y.sign()  # rows of one size: mixing probes lose the digits of tiny ones
    for method in METHODS:
        plan = banded.plan(f, x, method=method)
        for point in (x, y):
            value, gradient, H = plan(point, check=True)
            torch.testing.assert_close(H.to_dense(), dense(f, point), rtol=1e-9, atol=1e-11)
            torch.testing.assert_close(value, f(point))
            leaf = point.clone().requires_grad_()
            torch.testing.assert_close(gradient, torch.autograd.grad(f(leaf), leaf)[0])


@pytest.mark.parametrize("f", EVERY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_agrees_with_dense_derivatives(f: Function, name: str) -> None:
    x = torch.randn(N, dtype=torch.float64)
    probes = torch.randn(7, N, dtype=torch.float64)
    engine = ENGINES[name](f)
    if f in {"replicated": NOT_REPLICATED, "batched": NOT_BATCHED, "loop": []}[name]:
        with pytest.raises(RuntimeError):
            engine(x, probes)
        return
    value, gradient, products = engine(x, probes)
    torch.testing.assert_close(value, f(x))
    torch.testing.assert_close(products, probes @ dense(f, x), rtol=1e-10, atol=1e-11)
    leaf = x.clone().requires_grad_()
    torch.testing.assert_close(gradient, torch.autograd.grad(f(leaf), leaf)[0])


@pytest.mark.parametrize("f", EVERY, ids=lambda f: f.__name__)
def test_every_function_of_a_batch(f: Function) -> None:
    x = torch.randn(3, N, dtype=torch.float64)
    values, gradients, H = banded.plan(f, x, batch_dims=1)(x)
    for i in range(3):
        torch.testing.assert_close(H.to_dense()[i], dense(f, x[i]), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(values[i], f(x[i]))
        leaf = x[i].clone().requires_grad_()
        torch.testing.assert_close(gradients[i], torch.autograd.grad(f(leaf), leaf)[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("method", METHODS)
def test_modes_without_gradients(mode: Callable[[], Any], method: str) -> None:
    start = torch.randn(N, dtype=torch.float64)
    with mode():
        x = start.clone()
        plan = banded.plan(linear_systems, x, method=method)
        inside = plan(x, check=True)[2].to_dense()
        report = banded.verify(plan, x, dense=True)
    assert report
    expected = dense(linear_systems, start)
    torch.testing.assert_close(inside, expected, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(plan(start)[2].to_dense(), expected, rtol=1e-9, atol=1e-11)
    assert banded.verify(plan)


def test_points_of_any_memory_layout_with_and_without_gradients() -> None:
    x = torch.randn(4, 6, dtype=torch.float64)
    points = [x.T, x.T.clone().requires_grad_(), torch.nn.Parameter(x.T), x[:1].T.expand(6, 4), torch._neg_view(x.T)]

    def f(x: Tensor) -> Tensor:
        return (x[1:] * x[:-1]).sin().sum() + (x**4).sum()

    for point in points:
        plan = banded.plan(f, point)
        value, gradient, H = plan(point, check=True)
        expected = dense(f, point.detach()).reshape(24, 24)
        torch.testing.assert_close(H.to_dense(), expected)
        torch.testing.assert_close(gradient, torch.func.grad(f)(point.detach()))
        assert not any(t.requires_grad for t in (value, gradient, H.band, plan.value(point), plan.compressed(point)))
        assert banded.verify(plan, point)


@pytest.mark.parametrize("compile", [False, True])
def test_functions_that_write_into_their_argument_leave_the_callers_alone(compile: bool) -> None:
    def f(x: Tensor) -> Tensor:
        value = (x - 1).square().sum()
        with torch.no_grad():
            x.zero_()
        return value

    x = torch.full((3,), 2.0, dtype=torch.float64)
    plan = banded.plan(f, x, bandwidth=0, compile=compile)
    value, gradient, _ = plan(x)
    assert (float(value), gradient.tolist(), x.tolist()) == (3, [2, 2, 2], [2, 2, 2])
    assert float(plan.value(x)) == 3
    assert x.tolist() == [2, 2, 2]


def test_a_branch_that_cannot_be_vectorised_and_comes_late() -> None:
    def f(x: Tensor) -> Tensor:
        return Cube.apply(x).sum() if x[0] > 5 else rosenbrock(x)  # type: ignore[no-untyped-call]

    plan = banded.plan(f, torch.zeros(5, dtype=torch.float64), bandwidth=1)
    x = torch.full((5,), 6.0, dtype=torch.float64)
    torch.testing.assert_close(plan(x)[2].diagonal(), 6 * x)

    def numpy_late(x: Tensor) -> Tensor:
        return numpy_inside(x) if x[0] > 5 else rosenbrock(x)

    plan = banded.plan(numpy_late, torch.zeros(N, dtype=torch.float64), bandwidth=1)
    x = torch.full((N,), 6.0, dtype=torch.float64)
    torch.testing.assert_close(plan(x)[2].to_dense(), dense(numpy_inside, x))


def test_unknowns_of_a_function_that_closes_over_parameters_with_gradients() -> None:
    w = torch.ones(4, requires_grad=True)
    assert not banded.hessian(lambda x: (w * x).sum(), torch.zeros(4), bandwidth=1).band.any()
    value, gradient, H = banded.plan(lambda x: (w * x**2).sum(), torch.ones(4))(torch.ones(4))
    assert not any(t.requires_grad for t in (value, gradient, H.band))
    assert w.grad is None
