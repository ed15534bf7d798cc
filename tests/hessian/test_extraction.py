"""Which method is chosen, which probes it has, and what becomes of a border."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import patterns
from banded import Bordered
from banded.hessian.extraction import METHODS, OVERSAMPLING, WORTH, extraction
from banded.hessian.structure import Structure

SINGLE, DOUBLE = torch.zeros((), dtype=torch.float32), torch.zeros((), dtype=torch.float64)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("like", [SINGLE, DOUBLE])
@settings(deadline=None, max_examples=30)
@given(patterns.structures(), st.booleans())
def test_probes_are_of_the_core_and_of_each_unknown_of_the_border(
    method: str, like: torch.Tensor, structure: Structure, compiled: bool
) -> None:
    read = extraction(structure, method, like, compiled=compiled)
    probes, m, p = read.probes(like), structure.core, structure.border
    along = probes[:, structure.numbers(probes.device)]
    assert probes.dtype == like.dtype
    assert probes.is_contiguous()
    assert along[len(probes) - p :].tolist() == torch.eye(structure.n)[m:].tolist()
    assert not along[: len(probes) - p, m:].any()
    mixed = OVERSAMPLING if read.method == "random" else 0
    assert len(probes) == read.recovery.coloring.count + mixed + p


@pytest.mark.parametrize(
    ("n", "k", "direct", "symmetric"), [(100, 0, 1, 1), (100, 4, 9, 5), (7, 6, 7, 7), (7, 4, 7, 5)]
)
def test_numbers_of_products(n: int, k: int, direct: int, symmetric: int) -> None:
    counts = {"direct": direct, "symmetric": symmetric, "fourier": direct, "random": direct + OVERSAMPLING}
    for p in (0, 2):
        for method, count in counts.items():
            read = extraction(patterns.structure(n + p, k, border=p), method, DOUBLE, compiled=False)
            assert (read.method, read.reason) == (method, "")
            assert len(read.probes(DOUBLE)) == count + p


def test_on_a_loop_symmetry_saves_nothing() -> None:
    for method in ("symmetric", "auto"):
        read = extraction(patterns.structure(30, 2, periodic=True), method, DOUBLE, compiled=False)
        assert read.method == "direct"
        assert "on a loop" in read.reason


def test_the_choice_is_made_by_counts() -> None:
    """By what symmetry saves, k of 2k + 1 products of length n."""
    k = 3
    enough = -(-WORTH // k)
    for compiled in (False, True):
        short = extraction(patterns.structure(enough - 1, k), "auto", DOUBLE, compiled=compiled)
        assert (short.method, short.reason) == ("direct", "fewer products (4) would not pay for their recovery")
        long = extraction(patterns.structure(enough, k), "auto", DOUBLE, compiled=compiled)
        assert (long.method, long.reason) == ("symmetric", "direct takes 7")
    diagonal = extraction(patterns.structure(100_000, 0), "auto", DOUBLE, compiled=False)
    assert (diagonal.method, diagonal.reason) == ("direct", "symmetry saves no products")


def test_compiled_products_are_cheap() -> None:
    """Where zeros leave little to save: for blocks of b, symmetry saves b of 3b products."""
    b, nodes = 4, WORTH // 16 + 1
    mask = np.tile(patterns.blocks(b, 4 * b), nodes // 4 + 1)[:, : b * nodes]
    structure = patterns.structure(b * nodes, 2 * b - 1, mask=mask, width=b)
    eager, compiled = (extraction(structure, "auto", DOUBLE, compiled=one) for one in (False, True))
    assert (eager.method, eager.reason) == ("symmetric", "direct takes 12")
    assert (compiled.method, compiled.reason) == (
        "direct",
        "fewer compiled products (8) would not pay for their recovery",
    )


def test_direct_recovery_may_need_the_fewest_products() -> None:
    """A comb of teeth: a star colouring may give the teeth one colour, a two-sided one may not."""
    n = 60
    mask = np.zeros((5, n), dtype=bool)
    mask[0] = True
    mask[1:, ::5] = True  # each fifth unknown is coupled to the four behind it
    structure = patterns.structure(n, 4, mask=mask)
    counts = [extraction(structure, one, DOUBLE, compiled=False).recovery.coloring.count for one in METHODS[:2]]
    assert counts == [2, 5]
    read = extraction(structure, "auto", DOUBLE, compiled=False)
    assert (read.method, read.reason) == ("direct", "symmetry saves no products")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch", [(), (4,)])
@pytest.mark.parametrize("periodic", [False, True])
def test_borders_are_read_row_by_row(method: str, batch: tuple[int, ...], periodic: bool) -> None:
    order = np.random.default_rng(1).permutation(23)
    for where in (None, order):
        structure = patterns.structure(23, 2, periodic=periodic, border=3, order=where)
        A = patterns.matrices(structure, 0, batch=batch)
        read = extraction(structure, method, DOUBLE, compiled=False)
        H = read.recover(patterns.multiplied(read.probes(DOUBLE), A))
        dense = H.to_dense().numpy()
        np.testing.assert_array_equal(dense, np.swapaxes(dense, -1, -2))
        numbers = structure.numbers(H.device).numpy()
        np.testing.assert_array_equal(dense[..., numbers[20:], :], A[..., numbers[20:], :])
        if where is None:
            assert isinstance(H, Bordered)
            assert H.p == 3


def test_corners_are_averaged() -> None:
    """Both triangles come from products, each with its own rounding errors."""
    structure = patterns.structure(8, 1, border=2)
    read = extraction(structure, "direct", DOUBLE, compiled=False)
    products = patterns.multiplied(read.probes(DOUBLE), patterns.matrices(structure, 0))
    products[-2, 7] += 1.0
    H = read.recover(products)
    assert float(H[6, 7]) == float(H[7, 6]) == float(products[-2, 7] + products[-1, 6]) / 2


def test_gaps_do_not_look_at_the_border() -> None:
    structure = patterns.structure(20, 2, border=1)
    for method in ("symmetric", "random"):
        read = extraction(structure, method, DOUBLE, compiled=False)
        products = patterns.multiplied(read.probes(DOUBLE), patterns.matrices(structure, 0))
        products[-1] = 7.0
        gap = read.gap(products, read.recover(products))
        assert gap is not None
        assert gap < 1e-12


@pytest.mark.parametrize("noise", [1e-10, 1e-5])
def test_the_gap_of_random_probes_is_their_residual(noise: float) -> None:
    structure = patterns.structure(200, 3)
    A = patterns.matrices(structure, 0)
    read = extraction(structure, "random", DOUBLE, compiled=False)
    products = patterns.multiplied(read.probes(DOUBLE), A)
    clean = read.gap(products, read.recover(products))
    noisy = products * (1 + noise * torch.randn_like(products))
    gap = read.gap(noisy, read.recover(noisy))
    assert clean is not None
    assert gap is not None
    assert clean < 1e-14
    assert noise / 100 < gap < 100 * noise


def test_rescaling_keeps_the_rest() -> None:
    structure = patterns.structure(42, 1, border=2, order=np.random.default_rng(0).permutation(42))
    size = 10.0 ** np.random.default_rng(1).permutation(np.linspace(-6, 6, 42))
    A = patterns.to_user(structure, patterns.allowed(structure) * (np.eye(42) + 0.5) * np.sqrt(np.outer(size, size)))
    read = extraction(structure, "symmetric", DOUBLE, compiled=False)
    H = read.recover(patterns.multiplied(read.probes(DOUBLE), A))
    again = read.rescaled(H)
    assert again is not None
    assert (again.structure, again.method, again.reason) == (structure, "symmetric", read.reason)
    assert torch.equal(again.recovery.coloring.colors, read.recovery.coloring.colors)
    H = again.recover(patterns.multiplied(again.probes(DOUBLE), A))
    size = np.sqrt(np.outer(np.diag(A), np.diag(A)))
    np.testing.assert_allclose(H.to_dense().numpy() / size, A / size, rtol=0, atol=1e-14)
