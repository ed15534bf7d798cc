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
from banded import BandwidthError, NonFiniteError, RecoveryError
from banded.hessian.products import Engine, Function, loop

CASES = [(1, 0), (7, 0), (7, 1), (12, 3), (3, 5), (60, 9)]  # (n, k); one has k >= n
METHODS = ["direct", "symmetric"]


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def chain(x: Tensor) -> Tensor:
    return 0.5 * (x[1:] - x[:-1]).square().sum() + 0.5 * x[0] ** 2 + 0.5 * x[-1] ** 2


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


@pytest.mark.parametrize(("n", "k"), CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bandwidth_is_found(n: int, k: int, dtype: torch.dtype) -> None:
    f, x, expected = oracles.cosines(n, k, dtype)
    H = banded.hessian(f, x)
    assert H.bandwidth == oracles.bandwidth(expected)


def test_bandwidth_is_found_where_second_derivatives_vanish_at_x() -> None:
    for n in (2, 1000):
        assert banded.hessian(rosenbrock, torch.zeros(n, dtype=torch.float64)).bandwidth == 1


def test_bandwidth_is_found_where_entries_cancel_in_sums() -> None:
    """Rows sum to zero, so that a product with ones shows nothing."""
    H = banded.hessian(lambda x: (x[3:] - x[:-3]).square().sum(), torch.zeros(20, dtype=torch.float64))
    assert H.bandwidth == 3


def test_bandwidth_is_found_next_to_a_barrier() -> None:
    def barrier(x: Tensor) -> Tensor:
        return -(1 - x.square()).log().sum() + (x[2:] * x[:-2]).sum()

    assert banded.hessian(barrier, torch.full((30,), 0.999, dtype=torch.float64)).bandwidth == 2


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


@pytest.mark.parametrize("given", [0, 1, 2])
def test_a_band_that_is_too_narrow_is_refused_with_the_one_that_does(given: int) -> None:
    f, x, _ = oracles.cosines(30, 3)
    with pytest.raises(BandwidthError, match=rf"\|i - j\| > {given}, found a leak of .*bandwidth=3") as caught:
        banded.hessian(f, x, bandwidth=given)
    assert caught.value.needed == 3
    assert caught.value.bandwidth == given
    assert caught.value.leak > 0.01


@pytest.mark.parametrize("size", [1e-9, 1e-6, 1.0])
def test_a_small_leak_is_a_leak(size: float) -> None:
    def f(x: Tensor) -> Tensor:
        return chain(x) + size * (x[4] * x[9]) ** 2

    x = torch.randn(12, dtype=torch.float64)
    with pytest.raises(BandwidthError, match="bandwidth=5"):
        banded.hessian(f, x, bandwidth=1)
    assert banded.hessian(f, x).bandwidth == 5


@pytest.mark.parametrize(("dtype", "weight"), [(torch.float32, 1e6), (torch.float64, 1e15)])
def test_stiff_rows_do_not_hide_the_others(dtype: torch.dtype, weight: float) -> None:
    def f(x: Tensor) -> Tensor:
        return weight * x[0] ** 2 + (x[2:] - x[1:-1]).square().sum()

    x = torch.ones(6, dtype=dtype)
    assert banded.hessian(f, x).band[1].tolist() == [0, -2, -2, -2, -2, 0]
    with pytest.raises(BandwidthError, match="bandwidth=1"):
        banded.hessian(f, x, bandwidth=0)


@pytest.mark.parametrize(("dtype", "weight"), [(torch.float32, 1e6), (torch.float64, 1e14)])
def test_symmetric_recovery_past_a_large_entry_says_that_it_lost_its_digits(dtype: torch.dtype, weight: float) -> None:
    def f(x: Tensor) -> Tensor:
        return x.square().sum() + weight * x[0] * x[1] + 0.3 * (x[2:] * x[1:-1]).sum()

    x = torch.ones(8, dtype=dtype)
    with pytest.raises(RecoveryError, match="method='direct'"):
        banded.hessian(f, x, method="symmetric")
    assert float(banded.hessian(f, x).band[1, 4]) == pytest.approx(0.3)


def variation(x: Tensor, y: Tensor, small: float) -> Tensor:
    """Smoothed total variation: second derivatives by cancellation of large terms."""
    return (x - y).square().sum() + ((x[1:] - x[:-1]).square() + small).sqrt().sum()


@pytest.mark.parametrize(
    ("n", "size", "small", "dtype"),
    [
        (2000, 0.1, 1e-12, torch.float32),
        (3000, 0.1, 1e-12, torch.float32),
        (50, 30, 1, torch.float32),
        (50, 1e6, 1, torch.float64),
        (50, 0.1, 1e-18, torch.float64),
    ],
)
@pytest.mark.parametrize("given", [None, 1])
def test_rounding_errors_of_f_are_no_leak(n: int, size: float, small: float, dtype: torch.dtype, given: int) -> None:
    y = size * torch.randn(n, dtype=dtype)
    assert banded.hessian(lambda x: variation(x, y, small), y, bandwidth=given).bandwidth == 1


@pytest.mark.parametrize(("dtype", "weight", "n"), [(torch.float32, 3e-5, 2000), (torch.float64, 1e-11, 200)])
def test_what_is_found_passes_the_check(dtype: torch.dtype, weight: float, n: int) -> None:
    x = torch.ones(n, dtype=dtype)
    assert banded.hessian(lambda x: x.square().sum() + weight * (x[3:] * x[:-3]).sum(), x).bandwidth in (0, 3)


def test_functions_that_check_their_domain() -> None:
    def f(x: Tensor) -> Tensor:
        assert bool((x > 0).all())
        return (x.log() * x).sum() + (x[1:] * x[:-1]).sum()

    assert banded.hessian(f, torch.full((6,), 0.01)).bandwidth == 1


def test_a_linear_function_of_parameters_with_gradients() -> None:
    w = torch.ones(4, requires_grad=True)
    assert not banded.hessian(lambda x: (w * x).sum(), torch.zeros(4), bandwidth=1).band.any()


def test_a_branch_that_cannot_be_vectorised_and_comes_late() -> None:
    def f(x: Tensor) -> Tensor:
        return InPlace.apply(x).sum() if x[0] > 5 else rosenbrock(x)  # type: ignore[no-untyped-call]

    plan = banded.plan(f, torch.zeros(5, dtype=torch.float64), bandwidth=1)
    x = torch.full((5,), 6.0, dtype=torch.float64)
    torch.testing.assert_close(plan(x)[2].diagonal(), 6 * x)


def test_no_check_no_error() -> None:
    f, x, expected = oracles.cosines(30, 3)
    H = banded.hessian(f, x, bandwidth=0, check=False)
    np.testing.assert_allclose(H.diagonal(), np.diag(expected), atol=10)  # whatever leaks in


def test_what_is_not_banded_is_refused() -> None:
    with pytest.raises(BandwidthError, match="order the unknowns") as caught:
        banded.hessian(lambda x: x.sum() ** 2, torch.ones(3000, dtype=torch.float64))
    assert caught.value.needed is None


def test_a_small_full_matrix_is_a_band_too() -> None:
    assert banded.hessian(lambda x: x.sum() ** 2, torch.ones(20, dtype=torch.float64)).bandwidth == 19


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


def test_a_lower_precision_inside_f() -> None:
    x = torch.linspace(0, 1, 50, dtype=torch.float64)
    with pytest.raises(TypeError, match="expected float64 like x, got float32"):
        banded.hessian(lambda x: rosenbrock(x.float()), x)
    H = banded.hessian(lambda x: rosenbrock(x.float()).double(), x)  # hidden, but measured as rounding of f's own
    assert H.bandwidth == 1
    assert not torch.equal(H.band, banded.hessian(rosenbrock, x).band)
    assert banded.hessian(lambda x: rosenbrock(x.double()), x.float()).dtype == torch.float32


def test_functions_that_draw_random_numbers() -> None:
    x = torch.linspace(0, 1, 100, dtype=torch.float64)

    def noisy(x: Tensor) -> Tensor:
        return torch.nn.functional.dropout(x.square() * x.roll(1), 0.5).sum()

    choices: list[dict[str, Any]] = [{}, {"bandwidth": 99}, {"bandwidth": 3}]
    for options in choices:
        with pytest.raises(RecoveryError, match=r"from one evaluation to the next.*dropout"):
            banded.hessian(noisy, x, **options)


def test_a_hessian_that_is_nearly_full_is_pointed_out() -> None:
    x = torch.ones(100, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="half-bandwidth 99 of at most 99.*Is time the first dimension"):
        banded.plan(lambda x: x.square().sum() + x.mean() ** 2, x)


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
