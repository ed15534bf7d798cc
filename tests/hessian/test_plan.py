import sys
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
import oracles
from banded import NonFiniteError, RecoveryError
from banded.hessian.products import Engine, Function, loop
from oracles import chain, rosenbrock

CASES = [(1, 0), (7, 0), (7, 1), (12, 3), (3, 5), (60, 9)]  # (n, k); one has k >= n
METHODS = ["direct", "symmetric"]


def test_the_origin_to_the_digit() -> None:
    x = torch.zeros(12, dtype=torch.float64)
    plan = banded.plan(chain, x, bandwidth=1)
    assert plan.products == 3
    H = plan(x)[2]
    expected = np.array([[2.0] * 12, [-1.0] * 11 + [0.0]])
    np.testing.assert_array_equal(H.band, expected)
    np.testing.assert_array_equal(banded.hessian(chain, x).band, expected)
    load = torch.zeros(12, dtype=torch.float64)
    load[4] = 1
    solution = (
        "0.61538462 1.23076923 1.84615385 2.46153846 3.07692308 2.69230769 "
        "2.30769231 1.92307692 1.53846154 1.15384615 0.76923077 0.38461538"
    )
    assert " ".join(f"{entry:.8f}" for entry in H.solve(load).tolist()) == solution


@pytest.mark.parametrize(("n", "k"), CASES)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-4), (torch.float64, 1e-12)])
def test_hessian_matches_closed_form(n: int, k: int, method: str, dtype: torch.dtype, atol: float) -> None:
    f, x, expected = oracles.cosines(n, k, dtype)
    H = banded.hessian(f, x, bandwidth=min(k, n - 1), method=method)
    assert H.dtype == dtype
    np.testing.assert_allclose(H.to_dense(), expected, rtol=0, atol=atol)


def test_unknowns_of_any_shape_are_numbered_row_by_row() -> None:
    def f(x: Tensor) -> Tensor:
        return (x[1:, 0] * x[:-1, 1]).square().sum() + x.square().sum()

    x = torch.randn(6, 2, dtype=torch.float64)
    value, gradient, H = banded.plan(f, x)(x)
    dense: Any = torch.func.hessian(f)(x)
    torch.testing.assert_close(H.to_dense(), dense.reshape(12, 12))
    torch.testing.assert_close(gradient, torch.func.grad(f)(x))
    torch.testing.assert_close(value, f(x))
    assert H.bandwidth == 1


@pytest.mark.parametrize("method", METHODS)
def test_plan_is_made_once_and_evaluated_anywhere(method: str) -> None:
    x = torch.zeros(50, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, method=method)
    assert plan.products == (3 if method == "direct" else 2)
    for _ in range(3):
        x = torch.randn(50, dtype=torch.float64)
        dense: Any = torch.func.hessian(rosenbrock)(x)
        torch.testing.assert_close(plan(x)[2].to_dense(), dense, rtol=1e-9, atol=1e-9)
    assert f"50 unknowns, half-bandwidth 1: {plan.products} products ({method}), batched" in str(plan)


def test_same_input_same_output() -> None:
    x = torch.randn(40, dtype=torch.float64)
    first, second = (banded.hessian(rosenbrock, x, method="symmetric").band for _ in range(2))
    assert torch.equal(first, second)


def test_a_linear_function_of_parameters_with_gradients() -> None:
    w = torch.ones(4, requires_grad=True)
    assert not banded.hessian(lambda x: (w * x).sum(), torch.zeros(4), bandwidth=1).band.any()


def test_a_branch_that_cannot_be_vectorised_and_comes_late() -> None:
    def f(x: Tensor) -> Tensor:
        return InPlace.apply(x).sum() if x[0] > 5 else rosenbrock(x)  # type: ignore[no-untyped-call]

    plan = banded.plan(f, torch.zeros(5, dtype=torch.float64), bandwidth=1)
    x = torch.full((5,), 6.0, dtype=torch.float64)
    torch.testing.assert_close(plan(x)[2].diagonal(), 6 * x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("orders", [0, 4, 12])
def test_a_diagonal_over_many_orders_of_magnitude_costs_few_digits(dtype: torch.dtype, orders: int) -> None:
    """Relative to sqrt(H_ii H_jj), against dense derivatives in float64."""
    scale = torch.logspace(0, -orders / 2, 200, dtype=torch.float64)[torch.randperm(200)]
    x = torch.randn(200, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        y = scale.to(x) * x
        return (
            (y[2:] - 0.3 * y[:-2] + 0.2 * y[1:-1]).square().sum() + (y[1:] * y[:-1]).cos().sum() + 3 * y.square().sum()
        )

    dense: Any = torch.func.hessian(f)(x)
    size = dense.diagonal().abs().sqrt()
    for method in METHODS:
        plan = banded.plan(f, x.to(dtype), method=method)
        assert plan.bandwidth == 2
        for _ in range(2):  # the scale of the plan, and again
            error = (plan(x.to(dtype))[2].to_dense().double() - dense) / size / size[:, None]
            assert float(error.abs().max()) < 1e3 * torch.finfo(dtype).eps


def test_products_that_are_wrong_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check takes its product from the plainest engine, not from the one it checks."""

    def twice(f: Function) -> Engine:
        def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            value, gradient, products = loop(f)(x, probes)
            return value, gradient, 2 * products

        return engine

    monkeypatch.setattr(sys.modules["banded.hessian.engine"], "batched", twice)
    with pytest.raises(RecoveryError, match="batched engine: expected every entry"):
        banded.hessian(rosenbrock, torch.zeros(8, dtype=torch.float64), bandwidth=1)


class InPlace(torch.autograd.Function):
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


def test_functions_as_users_write_them() -> None:
    x = torch.randn(12, dtype=torch.float64)
    network = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()

    def buffer(x: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        y[1:] = x[1:] * x[:-1]
        y[0] = x[0]
        return y.square().sum()

    def scan(x: Tensor) -> Tensor:
        total = torch.zeros((), dtype=x.dtype)
        for a, b in pairwise(x):
            total = total + (a * b).sin()
        return total

    functions = {
        "in-place writes": buffer,
        "Python loop": scan,
        "old-style function": lambda x: InPlace.apply(x[1:] + x[:-1]).sum(),  # type: ignore[no-untyped-call]
        "where": lambda x: torch.where(x[1:] > 0, x[1:] ** 2 * x[:-1], x[1:] ** 4).sum(),
        "indexing": lambda x: (x[torch.arange(10)] * x[torch.arange(2, 12)]).square().sum(),
        "module": lambda x: network(x[:, None]).sum() + (x[1:] * x[:-1]).sum(),
    }
    for name, f in functions.items():
        rows: Any = torch.autograd.functional.hessian(f, x)  # type: ignore[no-untyped-call]
        np.testing.assert_allclose(banded.hessian(f, x).to_dense(), rows, rtol=1e-6, atol=1e-9, err_msg=name)


def test_compiled_plans_give_the_same_and_fall_back_with_a_reason() -> None:
    x = torch.randn(20, dtype=torch.float64)
    plan = banded.plan(rosenbrock, x, compile=True)
    assert plan.engine == "compiled"
    dense: Any = torch.func.hessian(rosenbrock)(x)
    torch.testing.assert_close(plan(x)[2].to_dense(), dense)
    torch.testing.assert_close(plan.value(x), rosenbrock(x))

    numbers = {"a": 0.0}  # a number that f reads is no constant of the graph
    plan = banded.plan(lambda x: rosenbrock(x) + numbers["a"] * x[0] ** 2, x[:2], compile=True)
    for number in range(3):
        numbers["a"] = float(number)
        assert float(plan(x[:2])[1][0]) == pytest.approx(
            float(torch.func.grad(rosenbrock)(x[:2])[0] + 2 * number * x[0])
        )

    def branches(x: Tensor) -> Tensor:
        return rosenbrock(x) if x.sum().item() < 1e9 else x.square().sum()

    with pytest.warns(RuntimeWarning, match="compiling failed.*continuing with the batched engine"):
        plan = banded.plan(branches, x, compile=True)
    assert plan.engine == "batched"
    assert "compiling failed" in plan.reason
    torch.testing.assert_close(plan(x)[2].to_dense(), dense)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        (torch.zeros(3, dtype=torch.int64), TypeError, "x: expected dtype float32 or float64, got int64"),
        (torch.zeros(3, dtype=torch.complex128), TypeError, "got complex128; torch.view_as_real"),
        (torch.zeros(3, dtype=torch.float16), TypeError, "got float16"),
        (torch.zeros(0), ValueError, r"x: expected at least one unknown, got an empty tensor of shape \(0,\)"),
        ([1.0, 2.0], TypeError, "x: expected a tensor, got list"),
        ({"x": torch.zeros(3)}, TypeError, "got dict"),
    ],
)
def test_bad_unknowns(x: Tensor, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text.replace("x:", "x0?:")):
            function(rosenbrock, x)


@pytest.mark.parametrize(
    ("f", "error", "text"),
    [
        (lambda x: x**2, ValueError, r"f: expected a scalar of shape \(\), got shape \(5,\).*sum"),
        (lambda x: (x**2).sum()[None], ValueError, r"got shape \(1,\)"),
        (lambda x: (x**2).sum().item(), TypeError, "got float; compute the loss with torch"),
        (lambda x: None, TypeError, "got NoneType"),
        (lambda x: (x**2).sum().to(torch.complex128), TypeError, "got complex128"),
        (lambda x: (x**2).sum().long(), TypeError, "got int64"),
        (lambda x: (x**2).sum().to("meta"), ValueError, "expected a value on cpu, where x is, got one on meta"),
        (lambda x: (2 * x).sum(), ValueError, "linear"),
        (lambda x: 0 * x.sum() + 1, ValueError, "constant"),
        (lambda x: torch.ones(()), ValueError, "depends on x"),
    ],
)
def test_bad_functions(f: Any, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text):
            function(f, torch.ones(5, dtype=torch.float64))


def test_constants_on_another_device_are_pytorchs_error() -> None:
    other = torch.ones(5, device="meta")
    with pytest.raises(RuntimeError, match="meta"):
        banded.hessian(lambda x: (x * other).square().sum(), torch.ones(5))


def test_nan_names_the_first_bad_entry_of_the_gradient() -> None:
    def f(x: Tensor) -> Tensor:
        return (x - 1).sqrt().sum()

    x = torch.tensor([2.0, 3.0, 0.5, 1.0], dtype=torch.float64)
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(NonFiniteError, match=r"gradient\[2\] = nan \(2 of 4 entries"):
            function(f, x)
    with pytest.raises(NonFiniteError, match=r"gradient\[\(1, 0\)\] = nan"):
        banded.hessian(f, x.reshape(2, 2))
    with pytest.raises(NonFiniteError, match="got inf"):
        banded.hessian(lambda x: x.square().sum() + float("inf"), x)


@pytest.mark.parametrize(
    ("bandwidth", "error", "text"),
    [
        (-1, ValueError, "0 <= bandwidth <= n - 1 = 4 for n = 5 unknowns, got -1"),
        (5, ValueError, "got 5"),
        (1.5, TypeError, "whole number.*1.5"),
        (True, TypeError, "whole number"),
    ],
)
def test_bad_bandwidths(bandwidth: int, error: type[Exception], text: str) -> None:
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(error, match=text):
            function(rosenbrock, torch.ones(5, dtype=torch.float64), bandwidth=bandwidth)


def test_second_derivatives_that_are_not_finite() -> None:
    """The length of a path whose points coincide."""
    for function in (banded.hessian, banded.plan, banded.minimize):
        with pytest.raises(NonFiniteError, match=r"second derivatives, got nan in row 0 .*sqrt, norm"):
            function(lambda x: x.square().sum() + x.diff(dim=0).norm(dim=1).sum(), torch.zeros(40, 2).double())


def test_no_functions() -> None:
    x = torch.ones(5)
    functions: list[Any] = [banded.hessian, banded.plan, banded.minimize]
    for function in functions:
        with pytest.raises(TypeError, match="f: expected a function of the unknowns, got Tensor"):
            function(x, rosenbrock)


def test_unknown_method() -> None:
    with pytest.raises(ValueError, match="expected one of 'direct', 'symmetric', got 'fourrier'"):
        banded.hessian(rosenbrock, torch.ones(5), method="fourrier")


def test_a_plan_is_held_to_what_it_was_made_for() -> None:
    plan = banded.plan(rosenbrock, torch.zeros(5, dtype=torch.float64))
    for x in (torch.zeros(6, dtype=torch.float64), torch.zeros(5), torch.zeros(5, 1, dtype=torch.float64)):
        with pytest.raises(ValueError, match="for which the plan was made"):
            plan(x)
        with pytest.raises(ValueError, match="for which the plan was made"):
            plan.value(x)


def test_no_warnings_in_eager_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        banded.hessian(rosenbrock, torch.ones(5))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("method", METHODS)
def test_on_a_gpu(method: str) -> None:
    x = torch.linspace(-1, 1, 100, dtype=torch.float64, device="cuda")
    H = banded.hessian(rosenbrock, x, method=method)
    assert H.device.type == "cuda"
    dense: Any = torch.func.hessian(rosenbrock)(x)
    torch.testing.assert_close(H.to_dense(), dense, rtol=1e-10, atol=1e-10)
    result = banded.minimize(rosenbrock, x)
    assert result.success
    assert result.x.device.type == "cuda"
