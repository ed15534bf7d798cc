"""How exact substitution is, on long chains, on badly scaled ones, and where entries vanish."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import patterns
from banded.hessian.coloring import Coloring
from banded.hessian.extraction import Extraction, extraction
from banded.hessian.structure import Structure
from banded.hessian.substitute import Substitution
from banded.matrix import Symmetric, SymmetricBanded

DTYPES = [torch.float32, torch.float64]
DOUBLE = torch.zeros((), dtype=torch.float64)


def read_by(A: Symmetric, structure: Structure) -> Extraction:
    return extraction(structure, "symmetric", A.band, compiled=False)


def recovered(read: Extraction, A: Symmetric) -> tuple[Symmetric, Tensor]:
    """H from the products with the probes, and these."""
    products = (A @ read.probes(A.band).mT).mT
    return read.recover(products), products


def error(H: Symmetric, A: Symmetric) -> float:
    """Largest error of an entry relative to sqrt(|A_ii A_jj|), in units of the last place; in NumPy."""
    (k, n), eps = (A.bandwidth, A.n), torch.finfo(A.dtype).eps
    band, exact = H.band.double().numpy(), A.band.double().numpy()
    size = np.sqrt(np.abs(exact[0]))
    size[size == 0] = 1
    return max(
        float(np.max(np.abs(band[d] - exact[d])[: n - d] / (size[: n - d] * size[d:]), initial=0)) for d in range(k + 1)
    ) / float(eps)


def chain(n: int, k: int, dtype: torch.dtype, orders: float = 0, seed: int = 0) -> SymmetricBanded:
    """Entries of the size sqrt(A_ii A_jj), with a diagonal that spreads over so many orders, at random."""
    rng = np.random.default_rng(seed)
    band = rng.standard_normal((k + 1, n))  # not uniform: sums of those may be exact
    band[0] = rng.choice([-1, 1], n) * (1 + np.abs(band[0]))
    size = 10 ** rng.permutation(np.linspace(-orders / 4, orders / 4, n))
    for d in range(k + 1):
        band[d, : n - d] *= size[: n - d] * size[d:]
        band[d, n - d :] = 0
    return SymmetricBanded(torch.tensor(band, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("k", [1, 2, 7])
@pytest.mark.parametrize("n", [200, 2_000, 20_000])
def test_errors_do_not_grow_along_the_chain(n: int, k: int, dtype: torch.dtype) -> None:
    A = chain(n, k, dtype)
    H, _ = recovered(read_by(A, patterns.structure(n, k)), A)
    assert error(H, A) <= 30


def test_undamped_errors_do_grow() -> None:
    """Which is what damping is for; and it takes fewer digits of the products."""
    A = chain(20_000, 2, torch.float64)
    read = read_by(A, patterns.structure(20_000, 2))
    assert isinstance(read.recovery, Substitution)
    undamped = read.recovery.undamped()
    assert undamped.scale is None
    products = (A @ replace(read, recovery=undamped).probes(A.band).mT).mT
    H = SymmetricBanded(undamped(products))
    assert 30 < error(H, A) < 20_000


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("orders", [6, 12])
@pytest.mark.parametrize(("n", "k"), [(60, 1), (60, 5), (1_000, 2)])
def test_a_diagonal_of_many_orders_costs_no_digits(n: int, k: int, orders: float, dtype: torch.dtype) -> None:
    structure = patterns.structure(n, k)
    A = chain(n, k, dtype, orders)
    read = read_by(A, structure)
    first, _ = recovered(read, A)
    again = read.rescaled(first)
    assert again is not None
    H, products = recovered(again, A)
    assert error(H, A) <= 10 < error(first, A)
    gap = again.gap(products, H)
    assert gap is not None
    assert gap <= 10 * torch.finfo(dtype).eps
    assert again.rescaled(H) is None  # once is enough


@pytest.mark.parametrize("dtype", DTYPES)
def test_probes_are_not_scaled_without_need(dtype: torch.dtype) -> None:
    """It costs the products once more."""
    A = chain(100, 2, dtype, 3)
    read = read_by(A, patterns.structure(100, 2))
    H, _ = recovered(read, A)
    assert read.rescaled(H) is None
    finer = read.rescaled(H, 16)
    assert finer is not None
    assert error(recovered(finer, A)[0], A) <= error(H, A)


@pytest.mark.parametrize("orders", [40, 200])
def test_scaling_survives_the_limits_of_floats(orders: float) -> None:
    A = chain(50, 2, torch.float64, orders)
    read = read_by(A, patterns.structure(50, 2)).rescaled(A)
    assert read is not None
    H, products = recovered(read, A)
    assert bool(torch.isfinite(products).all())
    assert bool(torch.isfinite(H.band).all())
    assert torch.equal(H.diagonal(), A.diagonal())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("least", [1e-9, 6e-17, 1e-30])
def test_a_diagonal_near_zero_beside_large_entries_costs_no_digits(least: float, dtype: torch.dtype) -> None:
    """As of cos x at π/2: the other entries of the row say how large it is."""
    n, k = 500, 2
    A = chain(n, k, dtype)
    band = A.band.clone()
    band[0, np.random.default_rng(0).random(n) < 0.5] = least
    A = SymmetricBanded(band)
    read = read_by(A, patterns.structure(n, k))
    H, _ = recovered(read, A)
    again = read.rescaled(H)
    H, _ = recovered(again or read, A)
    assert float((H.band - A.band).abs().max()) <= 30 * torch.finfo(dtype).eps


@settings(deadline=None, max_examples=30)
@given(st.integers(2, 60), st.integers(1, 4), st.integers(0, 2**31), st.sampled_from([0.0, 1e-40, 1e-12, 1e-5]))
def test_a_diagonal_with_zeros_costs_few_digits(n: int, k: int, seed: int, least: float) -> None:
    k = min(k, n - 1)
    band = chain(n, k, torch.float64, seed=seed).band.clone()
    band[0, np.random.default_rng(seed).random(n) < 0.4] = least
    A = SymmetricBanded(band)
    read = read_by(A, patterns.structure(n, k))
    H, _ = recovered(read, A)
    H, _ = recovered(read.rescaled(H) or read, A)
    assert float((H.band - A.band).abs().max()) <= 1e-13


@pytest.mark.parametrize("noise", [1e-12, 1e-8, 1e-3])
@pytest.mark.parametrize(("n", "k"), [(2, 1), (10, 1), (10, 9), (60, 3), (1_000, 5)])
@pytest.mark.parametrize("mask", [patterns.full, patterns.repeating])
def test_the_gap_estimates_the_error(n: int, k: int, noise: float, mask: patterns.Mask) -> None:
    structure = patterns.structure(n, k, mask=mask(np.random.default_rng(3), k, n))
    band = chain(n, k, torch.float64).band * structure.entries(DOUBLE.device)
    A = SymmetricBanded(band)
    read = read_by(A, structure)
    H, products = recovered(read, A)
    clean = read.gap(products, H)
    assert clean is not None
    assert clean <= 1e-14
    noisy = products * (1 + noise * torch.randn_like(products))
    H = read.recover(noisy)
    gap = read.gap(noisy, H)
    assert gap is not None
    assert gap / 100 <= error(H, A) * 2.2e-16 <= 100 * gap


def test_the_gap_is_the_largest_of_a_batch() -> None:
    structure = patterns.structure(40, 3)
    A = torch.stack([chain(40, 3, torch.float64, seed=seed).to_dense() for seed in range(3)])
    read = extraction(structure, "symmetric", DOUBLE, compiled=False)
    products = read.probes(DOUBLE) @ A
    products[1] *= 1 + 1e-6 * torch.randn_like(products[1])
    gaps = [read.gap(one, read.recover(one)) for one in products]
    whole = read.gap(products, read.recover(products))
    assert whole == pytest.approx(gaps[1])
    assert whole is not None
    assert whole > 1e-8


@pytest.mark.parametrize("method", ["symmetric", "random"])
def test_the_gap_does_not_see_what_lies_outside_the_band(method: str) -> None:
    """Products of any symmetric matrix agree among themselves; only a product with another vector tells."""
    A = chain(60, 3, torch.float64).to_dense() + 10 * torch.eye(60, dtype=torch.float64)
    A[30, 10] = A[10, 30] = 1.0
    read = extraction(patterns.structure(60, 3), method, DOUBLE, compiled=False)
    products = read.probes(DOUBLE) @ A
    H = read.recover(products)
    gap = read.gap(products, H)
    assert gap is not None
    assert gap < 1e-14
    assert float((H.to_dense() - A).abs().max()) > 0.1


def test_the_gap_sees_products_of_a_matrix_that_is_not_symmetric() -> None:
    A = chain(60, 3, torch.float64).to_dense()
    A[20, 19] += 1.0
    read = extraction(patterns.structure(60, 3), "symmetric", DOUBLE, compiled=False)
    products = read.probes(DOUBLE) @ A
    gap = read.gap(products, read.recover(products))
    assert gap is not None
    assert gap > 1e-6


@pytest.mark.parametrize(("n", "k"), [(1, 0), (9, 0)])
def test_diagonals_have_no_redundant_equations(n: int, k: int) -> None:
    A = chain(n, k, torch.float64)
    read = read_by(A, patterns.structure(n, k))
    H, products = recovered(read, A)
    np.testing.assert_array_equal(H.to_dense(), A.to_dense())
    assert read.gap(products, H) is None


@pytest.mark.parametrize("n", [1, 2, 3, 17, 300])
def test_a_full_matrix_is_a_band_too(n: int) -> None:
    A = chain(n, n - 1, torch.float64)
    read = read_by(A, patterns.structure(n, n - 1))
    assert read.recovery.coloring.count == n
    assert error(recovered(read, A)[0], A) <= 30


@pytest.mark.parametrize(("n", "k"), [(1, 0), (2, 1), (50, 2)])
def test_all_zeros(n: int, k: int) -> None:
    A = SymmetricBanded(torch.zeros(k + 1, n, dtype=torch.float64))
    read = read_by(A, patterns.structure(n, k))
    H, products = recovered(read, A)
    assert not H.band.any()
    assert read.rescaled(H) is None
    assert read.gap(products, H) in (None, 0.0)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_no_scale_is_taken_from_a_diagonal_that_is_not_finite(bad: float) -> None:
    A = chain(20, 1, torch.float64, 12)
    band = A.band.clone()
    band[0, 7] = bad
    assert read_by(A, patterns.structure(20, 1)).rescaled(SymmetricBanded(band)) is None


def test_one_scale_serves_a_batch() -> None:
    """Of the largest diagonal at each place."""
    structure = patterns.structure(60, 2)
    problems = [chain(60, 2, torch.float64, 12, seed=1).band * factor for factor in (1.0, 1e-3, 7.0)]
    A = SymmetricBanded(torch.stack(problems))
    read = extraction(structure, "symmetric", DOUBLE, compiled=False)
    H = read.recover(read.probes(DOUBLE) @ A.to_dense())
    again = read.rescaled(H)
    assert again is not None
    H = again.recover(again.probes(DOUBLE) @ A.to_dense())
    for band, exact in zip(H.band, problems, strict=True):
        assert error(SymmetricBanded(band), SymmetricBanded(exact)) <= 10


def test_scales_are_powers_of_two() -> None:
    """So that scaling rounds nothing."""
    A = chain(100, 2, torch.float64, 12)
    read = read_by(A, patterns.structure(100, 2)).rescaled(A)
    assert read is not None
    assert isinstance(read.recovery, Substitution)
    assert read.recovery.scale is not None
    mantissa, _ = np.frexp(read.recovery.scale.numpy())
    assert set(mantissa.tolist()) == {0.5}


@pytest.mark.parametrize("dtype", DTYPES)
def test_damping_keeps_its_distance_from_overflow(dtype: torch.dtype) -> None:
    """However long the chain."""
    recovery = read_by(chain(200_000, 1, dtype), patterns.structure(200_000, 1)).recovery
    assert recovery.scale is not None
    least, most = float(recovery.scale.min()), float(recovery.scale.max())
    assert least >= torch.finfo(dtype).tiny ** 0.5
    assert most <= torch.finfo(dtype).max ** 0.5


def test_colorings_that_are_not_two_sided_are_refused() -> None:
    with pytest.raises(AssertionError, match="chains"):
        Substitution(patterns.structure(9, 2), Coloring(torch.arange(9) % 2, 2), DOUBLE)
