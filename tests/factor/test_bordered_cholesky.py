import numpy as np
import pytest
import torch
from references import near
from torch import Tensor

import oracles
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import BorderedCholesky, Cholesky


def parts(batch: tuple[int, ...] = (), m: int = 6, p: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Band, border and corner of a positive definite matrix; NaN above the diagonal of the corner."""
    band = oracles.lower_band(oracles.positive_definite(m, 2), 2, poison=np.nan).expand(*batch, 3, m).contiguous()
    corner = 50 * torch.eye(p, dtype=torch.float64) + torch.randn(*batch, p, p, dtype=torch.float64)
    return band, torch.randn(*batch, p, m, dtype=torch.float64), corner.tril() + torch.full((p, p), np.nan).triu(1)


def factor(band: Tensor, border: Tensor, corner: Tensor) -> BorderedCholesky:
    return BorderedCholesky(Cholesky(band), border, corner)


def dense(band: Tensor, border: Tensor, corner: Tensor) -> np.ndarray:
    """Entry by entry, from the definition; one matrix."""
    p, m = border.shape
    A = np.zeros((m + p, m + p))
    for i in range(m + p):
        for j in range(i + 1):
            if i >= m:
                A[i, j] = A[j, i] = border[i - m, j] if j < m else corner[i - m, j - m]
            elif i - j < len(band):
                A[i, j] = A[j, i] = band[i - j, j]
    return A


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("columns", [(), (3,)])
def test_matches_numpy_whatever_lies_above_the_diagonal_of_the_corner(p: int, columns: tuple[int, ...]) -> None:
    one = parts(p=p)
    A, b = dense(*one), torch.randn(6 + p, *columns, dtype=torch.float64)
    np.testing.assert_allclose(factor(*one).solve(b), np.linalg.solve(A, b.numpy()), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(factor(*one).logdet(), np.linalg.slogdet(A)[1], rtol=1e-12)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_logdet_is_differentiable_twice_in_all_parts(batch: tuple[int, ...]) -> None:
    one = [part.nan_to_num().requires_grad_() for part in parts(batch, 3)]
    assert torch.autograd.gradcheck(lambda *one: factor(*one).logdet(), one)
    assert torch.autograd.gradgradcheck(lambda *one: factor(*one).logdet(), one, fast_mode=True)


@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_blocks_of_the_inverse(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    one = parts(batch)
    V, S = factor(*(part.to(dtype) for part in one)).inverse()
    m, p = V.shape[-2:]
    assert V.dtype == S.dtype == dtype
    assert S.shape == (*batch, p, p)
    for number in np.ndindex(batch):
        band, border, corner = (part[number] for part in one)
        A = dense(band, border, corner)
        inverse = np.linalg.inv(A)
        rtol = 1e-3 if dtype == torch.float32 else 1e-11
        near(S[number], inverse[m:, m:], rtol)
        near(-S[number] @ V[number].mT, inverse[m:, :m], rtol)
        core = torch.tensor(np.linalg.inv(A[:m, :m]))
        near(core + (V[number] @ S[number] @ V[number].mT).double(), inverse[:m, :m], rtol)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_samples_have_the_covariance_of_the_inverse(batch: tuple[int, ...]) -> None:
    """The empirical covariance of N draws is off by some sqrt(2 / N) of the variances."""
    draws = 40_000
    one = parts(batch, 4)
    x = factor(*one).sample((draws // 4, 4), generator=torch.Generator().manual_seed(0))
    assert x.shape == (draws // 4, 4, *batch, 6)
    assert not x.requires_grad
    x = x.reshape(draws, *batch, 6).movedim(0, -1)
    for number in np.ndindex(batch):
        band, border, corner = (part[number] for part in one)
        expected = np.linalg.inv(dense(band, border, corner))
        near(x[number] @ x[number].mT / draws, expected, 5 * (2 / draws) ** 0.5)


def test_solutions_are_those_of_the_matrix_that_was_factored() -> None:
    band, border, corner = parts()
    b = torch.ones(8, dtype=torch.float64)
    once = factor(band, border, corner)
    expected = once.solve(b)
    for part in (band, border, corner):
        part.mul_(2)
    assert torch.equal(once.solve(b), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("part", "cell", "named"), [(1, (0, 0), "6, 0"), (1, (1, 3), "7, 3"), (2, (1, 0), "7, 6")])
def test_an_entry_that_is_not_finite_is_named(bad: float, part: int, cell: tuple[int, int], named: str) -> None:
    one = parts((2,))
    one[part][(1, *cell)] = bad
    with pytest.raises(NonFiniteError, match=rf"got A\[{named}\] = {bad} of matrix \[1\] in the batch$"):
        factor(*one)


@pytest.mark.parametrize("of", [(0, 0), (0, 2), (1, 1)])
def test_the_first_failing_matrix_of_a_batch_is_named(of: tuple[int, int]) -> None:
    band, border, corner = parts((2, 3))
    corner[(*of, 1, 1)] = 0
    corner[1, 2, 0, 0] = 0
    with pytest.raises(NotPositiveDefiniteError, match=rf"\(row 7 of matrix \[{of[0]}, {of[1]}\] in the b") as caught:
        factor(band, border, corner)
    assert caught.value.row == 7


def test_a_semidefinite_matrix_is_not_positive_definite() -> None:
    ones = torch.ones(1, 1, dtype=torch.float64)
    with pytest.raises(NotPositiveDefiniteError, match=r"order 2 .*\(row 1\)"):
        factor(ones, ones, ones)


def test_an_overflow_is_no_solution() -> None:
    band = torch.tensor([[[1.0]], [[1e-30]]])
    with pytest.raises(NonFiniteError, match=r"got an overflow of matrix \[1\] in the batch; scale the matrix$"):
        factor(band, torch.full((2, 1, 1), 1e10), torch.full((2, 1, 1), 3e38))
