"""From and to SciPy's arrays and sparse matrices, against SciPy itself."""

from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
import torch

import oracles
from banded import Banded, BandwidthError, NonFiniteError, Periodic, SymmetricBanded

SIZES = [(1, 0), (5, 0), (6, 2), (6, 5)]


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("lower", [True, False])
def test_arrays_of_solveh_banded(n: int, k: int, lower: bool) -> None:
    A = oracles.positive_definite(n, k)
    S = SymmetricBanded(oracles.lower_band(A, k, poison=np.nan))
    ab, b = S.to_scipy(lower=lower), np.linspace(-1, 1, n)
    assert ab.shape == (k + 1, n)
    np.testing.assert_allclose(scipy.linalg.solveh_banded(ab, b, lower=lower), np.linalg.solve(A, b), rtol=1e-9)
    assert SymmetricBanded.from_scipy(ab, lower=lower) == S
    assert SymmetricBanded.from_scipy(np.stack([ab, 2 * ab]), lower=lower).shape == (2, n, n)


def test_arrays_are_shared_where_they_can_be() -> None:
    ab = np.ones((2, 5))
    S = SymmetricBanded.from_scipy(ab)
    ab[0, 0] = 7
    assert float(S[0, 0]) == 7
    assert SymmetricBanded.from_scipy([[1, 2, 3]]).dtype == torch.float64  # whole numbers
    with pytest.raises(TypeError, match="expected real numbers"):
        SymmetricBanded.from_scipy(np.ones((2, 5), dtype=complex))


@pytest.mark.parametrize(("n", "k"), SIZES)
def test_sparse_symmetric_matrices(n: int, k: int) -> None:
    A = oracles.symmetric(n, k)
    S = SymmetricBanded(oracles.lower_band(A, k))
    np.testing.assert_array_equal(S.to_dia().toarray(), A)
    forms: list[Any] = [scipy.sparse.csr_matrix(A), scipy.sparse.coo_array(A), torch.tensor(A).to_sparse(), S.to_dia()]
    for form in [*forms, S.to_sparse()]:
        assert SymmetricBanded.from_sparse(form) == S
        assert SymmetricBanded.from_sparse(form, k) == S
    if k:
        with pytest.raises(BandwidthError, match=f"no entries further than 0 from the diagonal, found some at {k}"):
            SymmetricBanded.from_sparse(forms[0], 0)


@pytest.mark.parametrize(("m", "n", "lower", "upper"), [(5, 5, 1, 2), (4, 6, 0, 3), (6, 4, 3, 1), (1, 1, 0, 0)])
def test_sparse_rectangular_matrices(m: int, n: int, lower: int, upper: int) -> None:
    A = np.tril(np.triu(np.random.default_rng(0).standard_normal((m, n)), -lower), upper)
    B = Banded.from_dense(torch.tensor(A), lower, upper)
    np.testing.assert_array_equal(B.to_dia().toarray(), A)
    forms: list[Any] = [B.to_dia(), B.to_sparse(), scipy.sparse.csc_array(A)]
    for form in forms:
        found = Banded.from_sparse(form)
        assert found == B
        assert (found.lower, found.upper) == (lower, upper)
    assert Banded.from_scipy(*B.to_scipy(), m) == B


def test_repeated_entries_are_added() -> None:
    coo = scipy.sparse.coo_array((np.array([1.0, 2, 5]), (np.array([0, 0, 1]), np.array([0, 0, 1]))), shape=(2, 2))
    np.testing.assert_array_equal(SymmetricBanded.from_sparse(coo).to_dense(), np.diag([3.0, 5]))


def test_empty_ones() -> None:
    assert SymmetricBanded.from_sparse(torch.zeros(3, 3).to_sparse()).bandwidth == 0
    assert Banded.from_sparse(scipy.sparse.csr_array((3, 4))).shape == (3, 4)


def test_what_cannot_be_converted() -> None:
    unsymmetric = scipy.sparse.csr_array(np.triu(np.ones((4, 4))))
    with pytest.raises(ValueError, match=r"expected a symmetric one, got entries that differ .* by 1; Banded"):
        SymmetricBanded.from_sparse(unsymmetric)
    with pytest.raises(ValueError, match=r"expected shape \(n, n\), got \(3, 4\)"):
        SymmetricBanded.from_sparse(scipy.sparse.csr_array(np.ones((3, 4))))
    with pytest.raises(TypeError, match="from_dense takes a full one"):
        SymmetricBanded.from_sparse(torch.eye(3))
    with pytest.raises(TypeError, match="real numbers"):
        Banded.from_sparse(scipy.sparse.csr_array(np.ones((2, 2), dtype=complex)))
    with pytest.raises(BandwidthError, match="lower: expected no entries further than 0"):
        Banded.from_sparse(scipy.sparse.csr_array(np.ones((3, 3))), 0, 2)
    with pytest.raises(ValueError, match=r"one sparse matrix \(m, n\), got shape \(2, 3, 3\)"):
        Banded.from_sparse(torch.ones(2, 3, 3).to_sparse())
    with pytest.raises(ValueError, match=r"one matrix, got a batch of shape \(2,\)"):
        SymmetricBanded(torch.ones(2, 1, 3)).to_dia()


def test_scipy_forms_that_pytorch_has_not() -> None:
    """Negative strides and foreign bytes are copied; what SciPy reads in them is what counts."""
    upper = np.array([[0.0, -1, -2], [4, 5, 6]])
    expected = np.array([[4.0, -1, 0], [-1, 5, -2], [0, -2, 6]])
    for ab in (upper[::-1][::-1], upper.astype(">f8"), upper.astype(np.longdouble)):
        np.testing.assert_array_equal(SymmetricBanded.from_scipy(ab, lower=False).to_dense(), expected)
    flipped = np.ascontiguousarray(upper[::-1])[::-1]
    np.testing.assert_array_equal(SymmetricBanded.from_scipy(flipped, lower=False).to_dense(), expected)


def test_what_is_no_pair_no_tensor_or_not_finite() -> None:
    with pytest.raises(TypeError, match=r"widths: expected a pair \(lower, upper\), got ndarray"):
        Banded.from_scipy(np.zeros((4, 8)), (1, 2))  # type: ignore[arg-type]
    one: Any
    for one in (SymmetricBanded, Banded, Periodic):
        widths = (1, 1) if one is Banded else (1,)
        with pytest.raises(TypeError, match="matrix: expected a tensor, got ndarray"):
            one.from_dense(np.eye(5), *widths)
    with pytest.raises(NonFiniteError, match=r"A\[1, 1\] = nan"):
        SymmetricBanded.from_sparse(scipy.sparse.csr_array(np.diag([1.0, np.nan, 2.0])))
