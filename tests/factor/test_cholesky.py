import numpy as np
import pytest
import scipy.linalg
import torch

import oracles
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Cholesky, cholesky

SIZES = [(1, 0), (2, 1), (5, 0), (5, 2), (5, 4), (40, 7)]


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 2e-4), (torch.float64, 1e-11)])
def test_solve_agrees_with_scipy_and_keeps_the_dtype(n: int, k: int, dtype: torch.dtype, rtol: float) -> None:
    band = oracles.lower_band(oracles.positive_definite(n, k), k)
    b = torch.linspace(-1, 1, n, dtype=dtype)
    x = Cholesky(band.to(dtype)).solve(b)
    assert x.dtype == dtype
    expected = scipy.linalg.solveh_banded(band.numpy(), b.double().numpy(), lower=True)
    np.testing.assert_allclose(x, expected, rtol=rtol, atol=rtol)


def test_non_contiguous_and_transposed_input() -> None:
    A = oracles.positive_definite(12, 3)
    band = oracles.lower_band(A, 3)
    b = torch.arange(24.0, dtype=torch.float64)[::2]
    for same in (band.mT.contiguous().mT, torch.stack([band, band], -1)[..., 0]):
        np.testing.assert_allclose(Cholesky(same).solve(b), np.linalg.solve(A, b), rtol=1e-9)


def test_solve_leaves_its_input_alone() -> None:
    band = oracles.lower_band(oracles.positive_definite(8, 2), 2).mT.contiguous().mT
    b = torch.ones(8, dtype=torch.float64)
    before = band.clone()
    Cholesky(band).solve(b)
    assert torch.equal(band, before)
    assert torch.equal(b, torch.ones(8, dtype=torch.float64))


def test_derivatives_are_those_of_the_matrix_that_was_factored() -> None:
    band = oracles.lower_band(oracles.positive_definite(6, 2), 2).requires_grad_()
    b = torch.ones(6, dtype=torch.float64)
    (expected,) = torch.autograd.grad(Cholesky(band * 1).solve(b).sum(), band)
    changing = band * 1
    factor = Cholesky(changing)
    changing[0] *= 2
    torch.testing.assert_close(torch.autograd.grad(factor.solve(b).sum(), band)[0], expected)


def test_logdet_refuses_to_lose_a_gradient() -> None:
    band = oracles.lower_band(oracles.positive_definite(4, 1), 1).requires_grad_()
    with pytest.raises(ValueError, match="detach"):
        Cholesky(band).logdet()


def test_factorisation_names_the_row_it_fails_at() -> None:
    A = np.diag([2.0, 1.0, 3.0, -1.0, 5.0])
    with pytest.raises(NotPositiveDefiniteError, match=r"leading minor of order 4 .*\(row 3\).*add_diagonal") as caught:
        Cholesky(oracles.lower_band(A, 1))
    assert caught.value.row == 3
    assert isinstance(caught.value, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(0, 0), (0, 3), (1, 2), (2, 1)])
def test_factorisation_names_an_entry_that_is_not_finite(bad: float, cell: tuple[int, int]) -> None:
    band = oracles.lower_band(oracles.positive_definite(5, 2), 2)
    band[cell] = bad
    with pytest.raises(NonFiniteError, match=rf"A\[{cell[0] + cell[1]}, {cell[1]}\]"):
        Cholesky(band)


def test_the_failing_matrix_of_a_batch_is_named() -> None:
    band = torch.stack([oracles.lower_band(oracles.positive_definite(5, 1, seed), 1) for seed in range(6)])
    band[4, 0, 2] = -1
    with pytest.raises(NotPositiveDefiniteError, match=r"\(row 2 of matrix \[4\] in the batch\)") as caught:
        Cholesky(band)
    assert caught.value.row == 2
    with pytest.raises(NotPositiveDefiniteError, match=r"\(row 2 of matrix \[1, 1\] in the batch\)"):
        Cholesky(band.reshape(2, 3, 2, 5))
    band[1, 1, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"A\[4, 3\] = nan of matrix \[0, 1\] in the batch$"):
        Cholesky(band.reshape(2, 3, 2, 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_a_band_in_the_order_of_lapack_gets_there_without_a_copy(
    batch: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapack = cholesky._FACTOR[dtype]
    came: list[np.ndarray] = []

    def watched(band: np.ndarray, lower: int) -> tuple[np.ndarray, int]:
        came.append(band)
        factor, info = lapack(band, lower=lower)
        return factor, info

    monkeypatch.setitem(cholesky._FACTOR, dtype, watched)
    band = oracles.lower_band(oracles.positive_definite(8, 2), 2).to(dtype).expand(*batch, 3, 8).mT.contiguous().mT
    Cholesky(band)
    assert len(came) == np.prod(batch, dtype=int)
    for one, matrix in zip(came, band.reshape(-1, 3, 8), strict=True):
        assert one.flags.f_contiguous
        assert one.ctypes.data == matrix.data_ptr()


def test_an_overflow_within_lapack_is_no_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    # LAPACK goes on after an overflow in some of its blocks only: which ones depends on the machine
    monkeypatch.setitem(cholesky._FACTOR, torch.float32, lambda band, lower: (np.full_like(band, np.nan), 0))
    with pytest.raises(NonFiniteError, match=r"got an overflow of matrix \[0\] in the batch; scale the matrix$"):
        Cholesky(torch.full((2, 1, 3), 1e38))


@pytest.mark.parametrize("m", [0, 1, 5])
def test_numbers_of_columns(m: int) -> None:
    A = oracles.positive_definite(6, 1)
    b = torch.randn(6, m, dtype=torch.float64)
    np.testing.assert_allclose(
        Cholesky(oracles.lower_band(A, 1)).solve(b), np.linalg.solve(A, b), rtol=1e-12, atol=1e-12
    )
