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
