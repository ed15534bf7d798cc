"""Arithmetic on bands against NumPy on dense matrices, with NaN in every cell that is not to be read."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from banded import bands

BATCHES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 3)]
every_batch = pytest.mark.parametrize("batch", BATCHES)
CPU = torch.device("cpu")
# rows, columns, lower, upper: square, flat, tall, triangles, and widths past the edge
SHAPES = [
    (1, 1, 0, 0),
    (5, 5, 1, 2),
    (5, 5, 4, 4),
    (3, 6, 2, 1),
    (6, 3, 1, 2),
    (6, 3, 0, 2),
    (3, 6, 2, 0),
    (2, 7, 1, 6),
    (7, 2, 6, 1),
    (2, 2, 3, 4),
    (2, 7, 0, 0),
    (7, 2, 0, 0),
]


def symmetric(n: int, k: int, batch: tuple[int, ...] = (), poison: float = np.nan) -> tuple[np.ndarray, Tensor]:
    """A dense matrix and its band, entry by entry."""
    band = np.full((*batch, k + 1, n), poison)
    A = np.zeros((*batch, n, n))
    values = np.random.default_rng(n + k).standard_normal((*batch, n, n))
    for i in range(n):
        for j in range(i + 1):
            if i - j <= k:
                A[..., i, j] = A[..., j, i] = band[..., i - j, j] = values[..., i, j]
    return A, torch.tensor(band)


def general(
    m: int, n: int, lower: int, upper: int, batch: tuple[int, ...] = (), poison: float = np.nan, seed: int = 0
) -> tuple[np.ndarray, Tensor]:
    A = np.random.default_rng(seed).standard_normal((*batch, m, n))
    for i in range(m):
        for j in range(n):
            if not -upper <= i - j <= lower:
                A[..., i, j] = 0
    return A, packed(A, lower, upper, poison)


def packed(A: np.ndarray, lower: int, upper: int, poison: float = 0.0) -> Tensor:
    """band[upper + i - j, j] = A[i, j], entry by entry."""
    m, n = A.shape[-2:]
    band = np.full((*A.shape[:-2], lower + upper + 1, n), poison)
    for i in range(m):
        for j in range(n):
            if -upper <= i - j <= lower:
                band[..., upper + i - j, j] = A[..., i, j]
    return torch.tensor(band)


def close(found: Tensor, expected: np.ndarray | Tensor) -> None:
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)


def operand(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@pytest.mark.parametrize(("m", "n", "lower", "upper"), SHAPES)
def test_inside(m: int, n: int, lower: int, upper: int) -> None:
    _, band = general(m, n, lower, upper)
    assert torch.equal(bands.inside_general(lower, upper, m, n, CPU), ~band.isnan())
    _, band = symmetric(n, lower)
    assert torch.equal(bands.inside_symmetric(lower + 1, n, CPU), ~band.isnan())


@every_batch
@pytest.mark.parametrize(("n", "k"), [(1, 0), (5, 0), (5, 2), (5, 4)])
@pytest.mark.parametrize("columns", [0, 1, 3])
def test_symmetric(n: int, k: int, batch: tuple[int, ...], columns: int) -> None:
    A, band = symmetric(n, k, batch)
    x, w = operand(*batch, n, columns), operand(*batch, n, columns)
    close(bands.symmetric_times(band, x), A @ x.numpy())
    close(bands.both_triangles(band).nan_to_num(), packed(A, k, k))
    outer = (w @ x.mT).numpy()
    both = outer + outer.swapaxes(-1, -2)
    both[..., range(n), range(n)] /= 2
    close(bands.symmetric_outer(w, x, k + 1), packed(both, k, 0))


@every_batch
@pytest.mark.parametrize(("m", "n", "lower", "upper"), SHAPES)
@pytest.mark.parametrize("columns", [0, 1, 3])
def test_general(m: int, n: int, lower: int, upper: int, batch: tuple[int, ...], columns: int) -> None:
    A, band = general(m, n, lower, upper, batch)
    x, w = operand(*batch, n, columns), operand(*batch, m, columns)
    close(bands.general_times(band, upper, m, x), A @ x.numpy())
    close(bands.general_outer(w, x, lower, upper), packed((w @ x.mT).numpy(), lower, upper))
    transposed = bands.transpose(band, upper, m)
    close(transposed, packed(A.swapaxes(-1, -2), upper, lower))
    close(bands.general_times(transposed, lower, n, w), A.swapaxes(-1, -2) @ w.numpy())


@settings(deadline=None)
@given(st.data())
def test_products_and_parts_of_them(data: st.DataObject) -> None:
    """Any widths of the result: narrower than the product has, or wider."""
    m, p, n = (data.draw(st.integers(1, 7), name) for name in "mpn")
    lower_a, upper_a = data.draw(st.integers(0, 7), "lower a"), data.draw(st.integers(0, 7), "upper a")
    lower_b, upper_b = data.draw(st.integers(0, 7), "lower b"), data.draw(st.integers(0, 7), "upper b")
    lower, upper = data.draw(st.integers(0, 8), "lower"), data.draw(st.integers(0, 8), "upper")
    batch_a, batch_b = data.draw(st.sampled_from([((), ()), ((2,), (2,)), ((2,), ()), ((3, 1), (2,)), ((0,), (0,))]))
    A, a = general(m, p, lower_a, upper_a, batch_a, 0.0, 1)
    B, b = general(p, n, lower_b, upper_b, batch_b, 0.0, 2)
    product = bands.multiply(a, upper_a, b, upper_b, lower, upper)
    inside = bands.inside_general(lower, upper, m, n, CPU)
    close(product, packed(A @ B, lower, upper))
    assert bool((product * ~inside == 0).all())


def test_products_of_more_dimensions_keep_the_full_width() -> None:
    A, a = general(5, 6, 1, 2, (2, 3), 0.0)
    B, b = general(6, 4, 2, 0, (2, 3), 0.0)
    close(bands.multiply(a, 2, b, 0, 3, 2), packed(A @ B, 3, 2))


def functions(m: int, n: int, lower: int, upper: int) -> dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]]:
    """Of a general band, a symmetric one and columns."""
    return {
        "symmetric_times": lambda g, s, x: bands.symmetric_times(s, x),
        "symmetric_outer": lambda g, s, x: bands.symmetric_outer(x.sin(), x, 2),
        "both_triangles": lambda g, s, x: bands.both_triangles(s),
        "general_times": lambda g, s, x: bands.general_times(g, upper, m, x),
        "general_outer": lambda g, s, x: bands.general_outer(x[..., :m, :].cos(), x, lower, upper),
        "transpose": lambda g, s, x: bands.transpose(g, upper, m),
        "multiply": lambda g, s, x: bands.multiply(bands.transpose(g, upper, m), lower, g, upper, 1, 2),
    }


@pytest.mark.parametrize("name", functions(3, 4, 1, 2))
def test_derivatives_and_vmap(name: str) -> None:
    """Under vmap over each argument alone as well, as over several."""
    f = functions(3, 4, 1, 2)[name]
    g, s = general(3, 4, 1, 2, (2,), 0.0)[1], symmetric(4, 2, (2,), 0.0)[1]
    all_of = (g, s, operand(2, 4, 2))
    assert torch.autograd.gradcheck(f, tuple(one.clone().requires_grad_() for one in all_of), check_forward_ad=True)
    for dims in [(0, 0, 0), (0, None, None), (None, 0, None), (None, None, 0), (0, 0, None)]:
        found = torch.func.vmap(f, dims)(*(one if dim == 0 else one[0] for one, dim in zip(all_of, dims, strict=True)))
        for number in range(2):
            one = f(*(one[number if dim == 0 else 0] for one, dim in zip(all_of, dims, strict=True)))
            close(found[number], one)
