"""Banded, rectangular or square, against dense matrices."""

import io
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from banded import Banded, BlockTridiagonal, SymmetricBanded
from twins import twin

SHAPES = [
    (1, 1, 0, 0),
    (5, 5, 1, 2),
    (4, 6, 0, 3),
    (6, 4, 3, 1),
    (1, 5, 0, 4),
    (5, 1, 4, 0),
    (9, 3, 8, 0),
    (3, 9, 0, 8),
]


def dense(m: int, n: int, lower: int, upper: int, batch: tuple[int, ...] = (), seed: int = 0) -> np.ndarray:
    """A random matrix, zero outside the widths, entry by entry."""
    A = np.random.default_rng(seed).standard_normal((*batch, m, n))
    for i in range(m):
        for j in range(n):
            if not -upper <= i - j <= lower:
                A[..., i, j] = 0
    return A


def poisoned(A: np.ndarray, lower: int, upper: int, dtype: torch.dtype = torch.float64) -> Banded:
    """The matrix with NaN in the cells that lie outside, entry by entry."""
    m, n = A.shape[-2:]
    band = np.full((*A.shape[:-2], lower + upper + 1, n), np.nan)
    for i in range(m):
        for j in range(n):
            if -upper <= i - j <= lower:
                band[..., upper + i - j, j] = A[..., i, j]
    return Banded(torch.tensor(band, dtype=dtype), lower, upper, m)


@st.composite
def matrices(draw: st.DrawFn, square: bool = False) -> tuple[Banded, np.ndarray]:
    m = draw(st.integers(1, 9))
    n = m if square else draw(st.integers(1, 9))
    lower, upper = draw(st.integers(0, m - 1)), draw(st.integers(0, n - 1))
    batch = draw(st.sampled_from([(), (1,), (2, 3), (0,)]))
    A = dense(m, n, lower, upper, batch, draw(st.integers(0, 2**31)))
    return poisoned(A, lower, upper), A


@settings(deadline=None)
@given(matrices())
def test_algebra(pair: tuple[Banded, np.ndarray]) -> None:
    B, A = pair
    m, n = A.shape[-2:]
    rng = np.random.default_rng(0)
    assert (B.shape, B.dtype) == (A.shape, torch.float64)
    np.testing.assert_array_equal(B.to_dense(), A)
    np.testing.assert_array_equal(B.mT.to_dense(), np.swapaxes(A, -1, -2))
    np.testing.assert_array_equal(B.diagonal(), np.diagonal(A, axis1=-2, axis2=-1))
    np.testing.assert_array_equal(B.to_sparse().to_dense(), A)
    np.testing.assert_array_equal((2 * B - B / 2 + (-B)).to_dense(), 2 * A - A / 2 - A)
    np.testing.assert_array_equal(abs(B).to_dense(), np.abs(A))
    assert poisoned(A, B.lower, B.upper) == B
    assert B.mT.mT == B
    X, x = rng.standard_normal((*A.shape[:-2], n, 2)), rng.standard_normal((*A.shape[:-2], n))
    np.testing.assert_allclose(B @ torch.tensor(X), A @ X, rtol=0, atol=1e-13)
    np.testing.assert_allclose(B @ torch.tensor(x), (A @ x[..., None])[..., 0], rtol=0, atol=1e-13)
    w = rng.standard_normal((*A.shape[:-2], m))
    At = np.swapaxes(A, -1, -2)
    np.testing.assert_allclose(B.congruence(torch.tensor(w)).to_dense(), At @ (w[..., None] * A), rtol=0, atol=1e-12)
    np.testing.assert_allclose(B.congruence().to_dense(), At @ A, rtol=0, atol=1e-12)
    np.testing.assert_allclose((B @ B.mT).to_dense(), A @ At, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(B[0, 0], A[..., 0, 0])
    np.testing.assert_array_equal(B[-1, -1], A[..., -1, -1])


@settings(deadline=None)
@given(matrices(square=True))
def test_square_ones(pair: tuple[Banded, np.ndarray]) -> None:
    B, A = pair
    n = A.shape[-1]
    A = A + 10 * np.eye(n)
    B = poisoned(A, B.lower, B.upper)
    b = np.random.default_rng(1).standard_normal((*A.shape[:-2], n, 2))
    np.testing.assert_allclose(B.solve(torch.tensor(b)), np.linalg.solve(A, b), rtol=0, atol=1e-12)
    for first in range(n):
        end = max(first + 1, n - first // 2)
        np.testing.assert_array_equal(B[first:end, first:end].to_dense(), A[..., first:end, first:end])


@pytest.mark.parametrize("batch", [(), (2,)])
def test_products_and_sums_with_symmetric_ones(batch: tuple[int, ...]) -> None:
    one = twin("symmetric", 6, 2, 0, batch)
    S, A = one.H, one.dense
    C = dense(6, 6, 1, 0, batch)
    B = poisoned(C, 1, 0)
    J = dense(6, 4, 2, 1, batch)
    for result, expected in (
        (S @ S, A @ A),
        (S @ B, A @ C),
        (B @ S, C @ A),
        (S + B, A + C),
        (B + S, C + A),
        (S - B, A - C),
        (B - S, C - A),
        (poisoned(J, 2, 1).congruence(S), np.swapaxes(J, -1, -2) @ A @ J),  # type: ignore[arg-type]
        (Banded.from_symmetric(S), A),  # type: ignore[arg-type]
    ):
        np.testing.assert_allclose(result.to_dense(), expected, rtol=0, atol=1e-12)
    with pytest.raises(TypeError):
        S @ twin("periodic", 6, 1).H
    with pytest.raises(ValueError, match="expected a matrix"):
        B @ poisoned(dense(5, 5, 1, 0, batch), 1, 0)


@pytest.mark.parametrize(("m", "n", "lower", "upper"), SHAPES)
def test_from_dense_reads_the_band_alone(m: int, n: int, lower: int, upper: int) -> None:
    A = dense(m, n, lower, upper)
    noisy = np.where(A == 0, np.nan, A)
    B = Banded.from_dense(torch.tensor(noisy), lower, upper)
    np.testing.assert_array_equal(B.to_dense(), A)
    assert repr(B) == f"Banded(m={m}, n={n}, lower={lower}, upper={upper}, dtype=float64, device='cpu')"


def test_derivatives() -> None:
    q = torch.tensor(dense(4, 5, 3, 4)).requires_grad_()
    w = torch.randn(6, dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 2, dtype=torch.float64, requires_grad=True)

    def B(q: Tensor) -> Banded:
        return Banded(q, 2, 1, 6).cleaned()

    checks: list[Any] = [
        (lambda q, x: B(q) @ x, (q, x)),
        (lambda q, w: B(q).congruence(w).band, (q, w)),
        (lambda q: (B(q) @ B(q).mT).band, (q,)),
    ]
    for f, inputs in checks:
        assert gradcheck(f, inputs)
        assert gradgradcheck(f, inputs)
    assert gradcheck(lambda q: B(q).to_sparse().to_dense(), (q,))


def test_transformations() -> None:
    q = torch.tensor(dense(4, 7, 3, 6, (3,)))
    B = Banded(q, 1, 2)
    x = torch.randn(3, 7, dtype=torch.float64)
    vmap = torch.func.vmap
    torch.testing.assert_close(vmap(lambda H, x: H @ x)(B, x), B @ x)
    torch.testing.assert_close(
        vmap(lambda x: Banded(q[0], 1, 2) @ x)(x), torch.stack([Banded(q[0], 1, 2) @ y for y in x])
    )
    torch.testing.assert_close(vmap(lambda H: H.congruence().band)(B), B.congruence().band)
    dominant = Banded(q + 9 * torch.eye(4, dtype=torch.float64)[2][:, None], 1, 2)
    torch.testing.assert_close(vmap(lambda H, x: H.solve(x))(dominant, x), dominant.solve(x))
    file = io.BytesIO()
    torch.save(B, file)
    file.seek(0)
    assert torch.load(file) == B


def test_the_layout_is_scipys() -> None:
    A = dense(6, 6, 2, 1) + 5 * np.eye(6)
    b = np.arange(6.0)
    widths, ab = poisoned(A, 2, 1).to_scipy()
    np.testing.assert_allclose(scipy.linalg.solve_banded(widths, ab, b), np.linalg.solve(A, b), rtol=1e-12)


@pytest.mark.parametrize(
    ("shape", "widths", "error", "text"),
    [
        ((3, 5), (1, 2), ValueError, r"got \(3, 5\) with lower 1, upper 2, rows 5"),
        ((3, 5), (-1, 3), ValueError, "0 <= lower"),
        ((8, 4), (4, 3), ValueError, "0 <= lower < rows"),
        ((3, 5), (1, 1, 1), ValueError, "rows 1"),
        ((3, 5), (1.0, 1), TypeError, "lower: expected a whole number, got 1.0"),
        ((3, 5), (1, True), TypeError, "upper: expected a whole number, got True"),
        ((3,), (1, 1), ValueError, r"expected shape \(..., k \+ 1, n\), got \(3,\)"),
    ],
)
def test_what_is_no_band(shape: tuple[int, ...], widths: tuple[Any, ...], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Banded(torch.zeros(shape), *widths)


def test_what_does_not_fit() -> None:
    B = poisoned(dense(4, 6, 0, 3), 0, 3)
    for x in (torch.ones(5, dtype=torch.float64), torch.ones(6)):
        with pytest.raises(ValueError, match="x: expected"):
            B @ x
    with pytest.raises(ValueError, match=r"square matrix, got shape \(4, 6\); A.congruence\(\)"):
        B.solve(torch.ones(6, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"weights: expected shape \(4,\)"):
        B.congruence(torch.ones(6, dtype=torch.float64))
    with pytest.raises(IndexError, match="square"):
        B[:2, :2]
    with pytest.raises(IndexError):
        B[4, 0]
    assert B[3, 5] == B.to_dense()[3, 5]
    with pytest.raises(TypeError, match="expected a float32 or float64 tensor"):
        Banded(torch.zeros(3, 5, dtype=torch.int64), 1, 1)


def test_other_symmetric_types_do_not_multiply() -> None:
    with pytest.raises(TypeError):
        twin("bordered symmetric", 4, 1, 1).H @ SymmetricBanded(torch.ones(1, 5, dtype=torch.float64))
    with pytest.raises(TypeError):
        BlockTridiagonal(torch.eye(2)[None], torch.zeros(0, 2, 2)) @ SymmetricBanded(torch.ones(1, 2))
