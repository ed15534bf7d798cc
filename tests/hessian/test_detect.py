"""Which bandwidth is found, and what passes for a leak."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import banded
import oracles
from banded import BandwidthError, RecoveryError
from oracles import chain, rosenbrock

CASES = [(1, 0), (7, 0), (7, 1), (12, 3), (3, 5), (60, 9)]  # (n, k); one has k >= n


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


@pytest.mark.parametrize("far", [2, 5, 9, 13])
def test_bandwidth_is_found_where_the_hessian_cancels_in_products_with_combs(far: int) -> None:
    """H[0, far] stands against H[0, j] at another unknown that most combs probe together with it."""

    def f(x: Tensor) -> Tensor:
        return chain(x) + x[0] * (x[far] - x[far - 1 if far == 2 else far + 2]) + x[0] * (x[far + 4] - x[far])

    x = torch.ones(40, dtype=torch.float64)
    dense: Any = torch.func.hessian(f)(x)
    H = banded.hessian(f, x)
    np.testing.assert_allclose(H.to_dense(), dense, atol=1e-14)
    comb = torch.zeros(40, dtype=torch.float64)
    comb[::2] = 1
    assert banded.hessian(lambda x: f(x) + 1e-3 * (comb * x).sum() ** 2, x).bandwidth >= 38


def test_bandwidth_is_found_next_to_a_barrier() -> None:
    def barrier(x: Tensor) -> Tensor:
        return -(1 - x.square()).log().sum() + (x[2:] * x[:-2]).sum()

    assert banded.hessian(barrier, torch.full((30,), 0.999, dtype=torch.float64)).bandwidth == 2


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


def test_no_check_no_error() -> None:
    f, x, expected = oracles.cosines(30, 3)
    H = banded.hessian(f, x, bandwidth=0, check=False)
    np.testing.assert_allclose(H.diagonal(), np.diag(expected), atol=10)  # whatever leaks in


def test_what_is_not_banded_is_refused() -> None:
    with pytest.raises(BandwidthError, match=r"farther than 512 .*border=\.\.\.") as caught:
        banded.hessian(lambda x: x.sum() ** 2, torch.ones(3000, dtype=torch.float64))
    assert caught.value.needed is None


def test_a_small_full_matrix_is_a_band_too() -> None:
    assert banded.hessian(lambda x: x.sum() ** 2, torch.ones(20, dtype=torch.float64)).bandwidth == 19


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
        with pytest.raises(RecoveryError, match=r"same (value|derivatives) at the same x.*dropout"):
            banded.hessian(noisy, x, **options)


def test_functions_that_keep_state() -> None:
    x = torch.linspace(0, 1, 30, dtype=torch.float64)
    calls = 0

    def counting(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return calls * rosenbrock(x)

    def drifting(x: Tensor) -> Tensor:
        """The value at the given point stays the same, its derivatives do not."""
        nonlocal calls
        calls += 1
        return rosenbrock(x) + calls * ((x[2:] - x[:-2]) - 2 / 29).square().sum()

    for f in (counting, drifting):
        choices: list[dict[str, Any]] = [{}, {"bandwidth": 2}, {"bandwidth": 1}]
        for options in choices:
            with pytest.raises(RecoveryError, match=r"same (value|derivatives) at the same x"):
                banded.hessian(f, x, **options)


def test_a_hessian_that_is_nearly_full_is_pointed_out() -> None:
    x = torch.ones(100, dtype=torch.float64)
    with pytest.warns(RuntimeWarning, match="half-bandwidth 99 of at most 99.*Is time the first dimension"):
        banded.plan(lambda x: x.square().sum() + x.mean() ** 2, x)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [1e-5, 1e-3, 1.0])
def test_small_entries_in_a_band_that_takes_a_look_in_any_order(size: float, dtype: torch.dtype) -> None:
    """They are too small for that look, but not for the products."""

    def f(x: Tensor) -> Tensor:
        return x.square().sum() + (x[12:] * x[:-12]).sum() + size * (x[3:] * x[:-3]).sum() + size * x[0] * x[10]

    x = torch.randn(80, dtype=dtype)
    dense: Any = torch.func.hessian(f)(x)
    torch.testing.assert_close(banded.hessian(f, x).to_dense(), dense)
    torch.testing.assert_close(banded.plan(f, x)(x + 1)[2].to_dense(), dense)


@pytest.mark.parametrize("seed", range(6))
def test_terms_that_come_and_go(seed: int) -> None:
    """Where some are absent at every point that was looked at, others show where they may be."""
    torch.manual_seed(seed)

    def hinges(x: Tensor) -> Tensor:
        return x.square().sum() + (x[1:] + x[:-1]).relu().square().sum() + (x[3:] - x[:-3]).relu().pow(3).sum()

    x, y = torch.randn(2, 14, dtype=torch.float64)
    dense: Any = torch.func.hessian(hinges)(y)
    torch.testing.assert_close(banded.plan(hinges, x)(y, check=True)[2].to_dense(), dense)


def test_terms_that_are_absent_at_the_point_given() -> None:
    def f(x: Tensor) -> Tensor:
        return chain(x) + (x[4:] * x[:-4] - 1e-3).relu().square().sum()

    x = torch.zeros(50, dtype=torch.float64)
    assert banded.hessian(f, x).bandwidth == 4
    with pytest.raises(BandwidthError, match="leak"):
        banded.plan(f, x, bandwidth=1)(x + 1, check=True)


def test_zeros_inside_the_band_save_products() -> None:
    def f(x: Tensor) -> Tensor:
        return chain(x) + (x[6:] * x[:-6]).sin().sum()

    x, y = torch.randn(2, 60, dtype=torch.float64)
    dense: Any = torch.func.hessian(f)(y)
    for method in ("direct", "symmetric", "fourier"):
        plan = banded.plan(f, x, method=method)
        assert plan.products < (7 if method == "symmetric" else 13)
        torch.testing.assert_close(plan(y)[2].to_dense(), dense)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("method", ["direct", "symmetric", "fourier", "random", "auto"])
def test_few_unknowns(n: int, method: str) -> None:
    x = torch.randn(n, dtype=torch.float64)
    functions: list[Any] = [
        lambda x: x.prod().sin(),
        lambda x: (x**4).sum(),
        lambda x: x[0] * x[-1],
        lambda x: x[0] ** 3,
    ]
    for f in functions:
        H = banded.hessian(f, x, method=method)
        dense: Any = torch.func.hessian(f)(x)
        torch.testing.assert_close(H.to_dense(), dense)
        assert H.shape == (n, n)
