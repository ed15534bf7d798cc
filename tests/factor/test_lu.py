import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import backward_error, general_band, near
from torch import Tensor

from banded.errors import NonFiniteError, SingularError
from banded.factor import LU

WIDTHS = [(0, 0), (0, 3), (3, 0), (5, 5), (1, 2), (2, 0)]
BATCHES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 3)]


def general(n: int, lower: int, upper: int, seed: int, pivoting: bool) -> np.ndarray:
    """A random band; dominated by its diagonal, or with a diagonal that is too small for pivots."""
    A = np.tril(np.triu(np.random.default_rng(seed).standard_normal((n, n)), -lower), upper)
    A[range(n), range(n)] = 1e-20 if pivoting else 1 + np.abs(A).sum(1)
    return A


def several(batch: tuple[int, ...], n: int, lower: int, upper: int, pivoting: bool) -> tuple[np.ndarray, Tensor]:
    """Matrices and their bands, NaN outside."""
    size = int(np.prod(batch, dtype=int))
    As = np.array([general(n, lower, upper, seed, pivoting) for seed in range(size)]).reshape(*batch, n, n)
    bands = [general_band(A, lower, upper, np.nan).numpy() for A in As.reshape(-1, n, n)]
    return As, torch.tensor(np.array(bands).reshape(*batch, lower + upper + 1, n))


@pytest.mark.parametrize(("lower", "upper"), WIDTHS)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pivoting", [False, True])
def test_solves_and_determinant(
    lower: int, upper: int, batch: tuple[int, ...], dtype: torch.dtype, pivoting: bool
) -> None:
    n, eps = 9, torch.finfo(dtype).eps
    pivoting = pivoting and min(lower, upper) > 0  # a triangle has its diagonal for eigenvalues
    As, band = several(batch, n, lower, upper, pivoting)
    before = band.to(dtype)
    factor = LU(before, lower, upper)
    for columns in [(), (0,), (1,), (4,)]:
        b = torch.randn(*batch, n, *columns, dtype=dtype)
        right = b.clone()
        for transposed in (False, True):
            A = As.swapaxes(-1, -2) if transposed else As
            x = factor.solve(b, transposed=transposed)
            assert (x.dtype, x.shape) == (dtype, b.shape)
            assert backward_error(A, x, b) < 50 * eps
            if not pivoting:
                wide = right.double().numpy() if columns else right.double().numpy()[..., None]
                near(x, np.linalg.solve(A, wide).reshape(x.shape), 100 * eps)
        assert torch.equal(b, right)
    assert torch.equal(before.nan_to_num(), band.to(dtype).nan_to_num())
    sign, log = factor.slogdet()
    expected_sign, expected = np.linalg.slogdet(As)
    assert sign.dtype == log.dtype == dtype
    np.testing.assert_array_equal(sign, expected_sign)
    np.testing.assert_allclose(log, expected, rtol=1e3 * eps, atol=1e3 * eps)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 30), st.integers(0, 6), st.integers(0, 6), st.integers(0, 2**31), st.booleans(), st.floats(-8, 8))
def test_any_band(n: int, lower: int, upper: int, seed: int, transposed: bool, decades: float) -> None:
    lower, upper = min(lower, n - 1), min(upper, n - 1)
    A = general(n, lower, upper, seed, False)
    rng = np.random.default_rng(seed)
    A[range(n), range(n)] *= rng.choice([1e-6, -1, 1, 1e-3], n)
    A *= 10.0 ** rng.uniform(-abs(decades), abs(decades), n)[:, None]
    condition = np.linalg.cond(A / np.abs(A).max(1, keepdims=True))
    try:
        factor = LU(general_band(A, lower, upper, np.nan), lower, upper)
    except SingularError:
        assert condition > 1e12
        return
    b = torch.tensor(rng.standard_normal((n, 2)))
    x = factor.solve(b, transposed=transposed)
    assert backward_error(A.T if transposed else A, x, b) < 1e-11
    sign, log = factor.slogdet()
    if condition < 1e8:
        assert sign == np.linalg.slogdet(A)[0]
        np.testing.assert_allclose(log, np.linalg.slogdet(A)[1], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_zeros_on_the_diagonal(n: int) -> None:
    """Ones beside the diagonal and at its start: no other pivot is in its place."""
    A = np.eye(n, k=1) + np.eye(n, k=-1)
    A[0, 0] = 1
    factor = LU(general_band(A, min(1, n - 1), min(1, n - 1)), min(1, n - 1), min(1, n - 1))
    b = torch.arange(1.0, n + 1, dtype=torch.float64)
    for transposed in (False, True):
        near(factor.solve(b, transposed=transposed), np.linalg.solve(A.T if transposed else A, b.numpy()), 1e-14)
    assert factor.slogdet()[0] == np.linalg.slogdet(A)[0]


@pytest.mark.parametrize(
    ("A", "row"),
    [
        (np.zeros((3, 3)), 0),
        (np.diag([1.0, 2.0, 0.0, 3.0]), 2),
        (np.array([[1.0, 2.0], [2.0, 4.0]]), 1),
        (np.eye(4, k=1), 0),
    ],
)
def test_singular(A: np.ndarray, row: int) -> None:
    band = general_band(A, 1, 1)
    with pytest.raises(SingularError, match=rf"\(row {row}\)") as caught:
        LU(band, 1, 1)
    assert caught.value.row == row
    regular = general_band(np.eye(len(A)), 1, 1)
    batch = torch.stack([regular] * 5 + [band]).reshape(2, 3, *band.shape)
    with pytest.raises(SingularError, match=rf"\(row {row} of matrix \[1, 2\] in the batch\)"):
        LU(batch, 1, 1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("entry", [(0, 0), (2, 1), (1, 3), (4, 4), (4, 3)])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_an_entry_that_is_not_finite_is_named(bad: float, entry: tuple[int, int], batch: tuple[int, ...]) -> None:
    A = general(5, 1, 2, 0, False)
    wrong = A.copy()
    wrong[entry] = bad
    band = general_band(A, 1, 2, np.nan).expand(*batch, 4, 5).clone()
    band[tuple(size - 1 for size in batch)] = general_band(wrong, 1, 2, np.nan)
    place = r" of matrix \[1, 2\] in the batch" if batch else ""
    with pytest.raises(NonFiniteError, match=rf"A\[{entry[0]}, {entry[1]}\] = {bad}{place}$"):
        LU(band, 1, 2)


@pytest.mark.parametrize("shape", [(8,), (10,), (1, 9), (9, 1, 1), ()])
def test_operands_that_do_not_fit(shape: tuple[int, ...]) -> None:
    _, band = several((), 9, 1, 2, False)
    with pytest.raises(ValueError, match=r"b: expected shape \(9,\) or \(9, m\), got"):
        LU(band, 1, 2).solve(torch.ones(shape, dtype=torch.float64))
