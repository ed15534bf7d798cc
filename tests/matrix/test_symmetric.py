import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import oracles
from banded.matrix import SymmetricBanded


@st.composite
def sizes(draw: st.DrawFn) -> tuple[int, int, int]:
    n = draw(st.integers(1, 30))
    return n, draw(st.integers(0, n - 1)), draw(st.integers(0, 2**31))


@settings(deadline=None)  # the first call loads LAPACK
@given(sizes())
def test_algebra_matches_numpy_whatever_lies_outside_the_matrix(size: tuple[int, int, int]) -> None:
    n, k, seed = size
    A = oracles.symmetric(n, k, seed)
    H = SymmetricBanded(oracles.lower_band(A, k, poison=np.nan))
    x = np.random.default_rng(seed + 1).standard_normal((n, 3))
    assert (H.n, H.bandwidth, H.shape) == (n, k, (n, n))
    np.testing.assert_array_equal(H.to_dense(), A)
    np.testing.assert_array_equal(H.diagonal(), np.diag(A))
    np.testing.assert_allclose(H @ torch.tensor(x), A @ x, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(H @ torch.tensor(x[:, 0]), A @ x[:, 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(H.add_diagonal(2.5).to_dense(), A + 2.5 * np.eye(n))
    np.testing.assert_array_equal(H.add_diagonal(torch.tensor(x[:, 0])).to_dense(), A + np.diag(x[:, 0]))
    np.testing.assert_array_equal(SymmetricBanded.from_dense(torch.tensor(A), k).to_dense(), A)


@settings(deadline=None)
@given(sizes())
def test_solve_and_logdet_match_numpy(size: tuple[int, int, int]) -> None:
    n, k, seed = size
    A = oracles.positive_definite(n, k, seed)
    H = SymmetricBanded(oracles.lower_band(A, k, poison=np.nan))
    x = np.random.default_rng(seed + 1).standard_normal((n, 2))
    tolerance = 1e-13 * np.linalg.cond(A)
    np.testing.assert_allclose(H.solve(torch.tensor(A @ x)), x, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(H.solve(torch.tensor(A @ x[:, 0])), x[:, 0], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(H.cholesky().logdet(), np.linalg.slogdet(A)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("columns", [(), (2,)])
def test_solve_is_differentiable_twice(columns: tuple[int, ...]) -> None:
    band = oracles.lower_band(oracles.positive_definite(6, 2), 2).requires_grad_()
    b = torch.randn(6, *columns, dtype=torch.float64, requires_grad=True)

    def solve(band: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return SymmetricBanded(band).solve(b)

    assert torch.autograd.gradcheck(solve, (band, b))
    assert torch.autograd.gradgradcheck(solve, (band, b))


def test_matvec_is_differentiable() -> None:
    band = oracles.lower_band(oracles.symmetric(6, 2), 2).requires_grad_()
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda band, x: SymmetricBanded(band) @ x, (band, x))


def test_add_diagonal_does_not_promote() -> None:
    with pytest.raises(ValueError, match=r"float32 .* got torch.float64"):
        SymmetricBanded(torch.ones(1, 3)).add_diagonal(torch.ones(3, dtype=torch.float64))


@pytest.mark.parametrize(
    ("band", "error", "text"),
    [
        (torch.zeros(3, 2), ValueError, r"\(..., k \+ 1, n\)"),
        (torch.zeros(0, 2), ValueError, r"\(..., k \+ 1, n\)"),
        (torch.zeros(0, 0), ValueError, r"\(..., k \+ 1, n\)"),
        (torch.zeros(4), ValueError, r"\(..., k \+ 1, n\)"),
        (torch.zeros(2, 3, dtype=torch.int64), TypeError, "int64"),
        (torch.zeros(2, 3, dtype=torch.float16), TypeError, "float16"),
        (np.zeros((2, 3)), TypeError, "ndarray"),
    ],
)
def test_bad_bands(band: torch.Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        SymmetricBanded(band)


@pytest.mark.parametrize(
    ("b", "error", "text"),
    [
        (torch.zeros(4, dtype=torch.float64), ValueError, r"\(5,\) or \(5, m\), got \(4,\)"),
        (torch.zeros(1, 5, dtype=torch.float64), ValueError, r"got \(1, 5\); pass b?x?.reshape\(-1\)"),
        (torch.zeros(5), ValueError, "float32"),
        (torch.zeros(5, device="meta", dtype=torch.float64), ValueError, "meta"),
        ([0.0] * 5, TypeError, "list"),
    ],
)
def test_bad_operands(b: torch.Tensor, error: type[Exception], text: str) -> None:
    H = SymmetricBanded(torch.eye(5, dtype=torch.float64)[:1] + 1)
    with pytest.raises(error, match=text):
        H.solve(b)
    with pytest.raises(error, match=text):
        H @ b


def test_from_dense_needs_a_square() -> None:
    with pytest.raises(ValueError, match=r"\(..., n, n\), got \(2, 3\)"):
        SymmetricBanded.from_dense(torch.zeros(2, 3), 1)


def test_from_dense_needs_a_bandwidth_that_fits() -> None:
    with pytest.raises(ValueError, match="bandwidth"):
        SymmetricBanded.from_dense(torch.eye(3), 3)


def test_add_diagonal_of_a_wrong_length() -> None:
    with pytest.raises(ValueError, match=r"\(5,\), got \(3,\)"):
        SymmetricBanded(torch.ones(1, 5)).add_diagonal(torch.ones(3))


def test_a_large_band_stays_linear_in_memory() -> None:
    n = 200_000  # dense: 320 GB
    band = torch.stack([torch.full((n,), 2.0), torch.full((n,), -1.0)]).double()
    H = SymmetricBanded(band)
    x = torch.ones(n, dtype=torch.float64)
    torch.testing.assert_close(H.solve(H @ x), x, rtol=1e-5, atol=1e-5)


def test_from_dense_reads_nothing_outside_the_lower_band() -> None:
    A = np.stack([oracles.symmetric(6, 2, seed) for seed in range(2)])
    i, j = np.indices((6, 6))
    poisoned = torch.tensor(np.where((i >= j) & (i - j <= 2), A, np.nan))
    np.testing.assert_array_equal(SymmetricBanded.from_dense(poisoned, 2).to_dense(), A)


def test_derivatives_with_respect_to_unused_cells_are_zero() -> None:
    band = oracles.lower_band(oracles.positive_definite(5, 2), 2, poison=np.nan).requires_grad_()
    H = SymmetricBanded(band)
    b = torch.ones(5, dtype=torch.float64)
    for value in (H.solve(b), H @ b, H.to_dense(), H.row_sums(), H.add_diagonal(b).diagonal(), H[4, 0] + H[3, 4]):
        (gradient,) = torch.autograd.grad(value.sum(), band)
        assert bool(gradient.isfinite().all())
        assert gradient[1, 4] == gradient[2, 3] == gradient[2, 4] == 0
