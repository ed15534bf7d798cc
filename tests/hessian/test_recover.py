"""Every method of recovery, on random matrices of every structure, against the dense matrix itself."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import patterns
from banded.hessian.extraction import extraction
from banded.hessian.recover import take
from banded.hessian.structure import Structure

METHODS = ("direct", "symmetric", "fourier", "random")
BATCHES: list[tuple[int, ...]] = [(), (2,), (2, 3)]
EPS = {torch.float32: 1.2e-7, torch.float64: 2.3e-16}
DOUBLE = torch.zeros((), dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@settings(deadline=None, max_examples=30)
@given(patterns.structures(), st.integers(0, 2**31), st.sampled_from(BATCHES))
def test_recovery_inverts_the_probing(
    method: str, dtype: torch.dtype, structure: Structure, seed: int, batch: tuple[int, ...]
) -> None:
    A = patterns.matrices(structure, seed, batch=batch)
    like = torch.zeros((), dtype=dtype)
    read = extraction(structure, method, like, compiled=False)
    H = read.recover(patterns.multiplied(read.probes(like), A))
    assert H.dtype == dtype
    assert H.shape == A.shape
    np.testing.assert_allclose(H.to_dense(), A, rtol=0, atol=500 * EPS[dtype])
    assert not H.band[..., ~structure.entries(H.device)].any()


@pytest.mark.parametrize("method", ["direct", "symmetric"])
@settings(deadline=None, max_examples=50)
@given(patterns.structures(), st.integers(0, 2**31), st.sampled_from(BATCHES))
def test_recovery_of_whole_numbers_is_exact(
    method: str, structure: Structure, seed: int, batch: tuple[int, ...]
) -> None:
    """Their sums are exact, and powers of two are all that substitution scales with."""
    A = patterns.matrices(structure, seed, batch=batch, whole=True)
    read = extraction(structure, method, DOUBLE, compiled=False)
    products = patterns.multiplied(read.probes(DOUBLE), A)
    H = read.recover(products)
    np.testing.assert_array_equal(H.to_dense(), A)
    assert read.gap(products, H) in (None, 0.0)


@settings(deadline=None, max_examples=50)
@given(patterns.structures(), st.integers(0, 2**31), st.integers(0, 12))
def test_direct_recovery_is_exact_to_the_last_bit(structure: Structure, seed: int, orders: int) -> None:
    """Whatever the scale: no two entries are ever added."""
    size = 10.0 ** np.random.default_rng(seed).uniform(-orders, orders, structure.n)
    A = np.tril(patterns.matrices(structure, seed) * np.sqrt(size[:, None] * size))
    A = A + np.tril(A, -1).T
    read = extraction(structure, "direct", DOUBLE, compiled=False)
    products = patterns.multiplied(read.probes(DOUBLE), A)
    H = read.recover(products)
    np.testing.assert_array_equal(H.to_dense(), A)
    assert read.gap(products, H) is None
    assert read.rescaled(H) is None


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [None, np.random.default_rng(0).permutation(30)])
@pytest.mark.parametrize("periodic", [False, True])
def test_bands_come_in_the_order_of_lapack(method: str, order: np.ndarray | None, periodic: bool) -> None:
    """Column-major, so that the factorisation takes them without a copy."""
    structure = patterns.structure(30, 3, periodic=periodic, order=order)
    read = extraction(structure, method, DOUBLE, compiled=False)
    for batch in BATCHES:
        products = patterns.multiplied(read.probes(DOUBLE), patterns.matrices(structure, 0, batch=batch))
        assert read.recover(products).band.mT.is_contiguous()


@pytest.mark.parametrize("method", METHODS)
def test_products_are_left_as_they_came(method: str) -> None:
    structure = patterns.structure(20, 2, border=1)
    read = extraction(structure, method, DOUBLE, compiled=False)
    products = patterns.multiplied(read.probes(DOUBLE), patterns.matrices(structure, 0))
    before = products.clone()
    H = read.recover(products)
    read.gap(products, H)
    assert torch.equal(products, before)
    products.zero_()
    assert H.to_dense().any()  # and a matrix is no view of them


@pytest.mark.parametrize("method", METHODS)
def test_products_may_be_laid_out_in_any_way(method: str) -> None:
    structure = patterns.structure(20, 2)
    read = extraction(structure, method, DOUBLE, compiled=False)
    A = patterns.matrices(structure, 0, batch=(3,))
    products = patterns.multiplied(read.probes(DOUBLE), A)
    strided = products.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    assert not strided.is_contiguous()
    np.testing.assert_allclose(read.recover(strided).to_dense(), A, rtol=0, atol=1e-13)


@settings(deadline=None, max_examples=50)
@given(patterns.structures(borders=(0,)), st.sampled_from(METHODS))
def test_sources_name_a_color_that_shows_the_cell(structure: Structure, method: str) -> None:
    recovery = extraction(structure, method, DOUBLE, compiled=False).recovery
    colors, m = recovery.coloring.colors.tolist(), structure.core
    entries, sources = structure.entries(DOUBLE.device), recovery.sources()
    assert sources.shape == entries.shape
    for d, j in np.ndindex(*sources.shape):
        named = int(sources[d, j])
        assert (named in {colors[j], colors[(j + d) % m]}) if entries[d, j] else named == -1


@settings(deadline=None, max_examples=50)
@given(patterns.structures(borders=(0,)))
def test_links_join_two_entries_of_one_equation(structure: Structure) -> None:
    """In the row of an unknown that both share, with their other unknowns of the same colour."""
    recovery = extraction(structure, "symmetric", DOUBLE, compiled=False).recovery
    colors = recovery.coloring.colors.tolist()
    entries = structure.entries(DOUBLE.device)
    links = recovery.links().T.tolist()
    assert len(set(map(tuple, links))) == len(links)
    for d, j, e, k in links:
        assert entries[d, j]
        assert entries[e, k]
        (shared,) = {j, j + d} & {k, k + e}
        (one,), (other,) = {j, j + d} - {shared}, {k, k + e} - {shared}
        assert colors[one] == colors[other]


def test_direct_recovery_links_nothing() -> None:
    for method in ("direct", "fourier", "random"):
        links = extraction(patterns.structure(9, 2), method, DOUBLE, compiled=False).recovery.links()
        assert links.shape == (4, 0)


@given(st.sampled_from(BATCHES), st.integers(0, 2**31))
def test_taking_entries_at_flat_positions(batch: tuple[int, ...], seed: int) -> None:
    rng = np.random.default_rng(seed)
    products = rng.standard_normal((*batch, 3, 7))
    positions = rng.integers(0, 21, (4, 2))
    taken = take(torch.from_numpy(products), torch.from_numpy(positions))
    np.testing.assert_array_equal(taken, products.reshape(*batch, 21)[..., positions])


def test_nan_stays_where_it_is_read() -> None:
    """A product that is not finite spoils the entries that are read off it, not their neighbours."""
    structure = patterns.structure(12, 1)
    read = extraction(structure, "direct", DOUBLE, compiled=False)
    A = patterns.matrices(structure, 0)
    products: Tensor = patterns.multiplied(read.probes(DOUBLE), A)
    products[2, 5] = torch.nan  # row 5 of the colour of unknown 5
    dense = read.recover(products).to_dense().numpy()
    assert np.argwhere(np.isnan(dense)).tolist() == [[5, 5]]
