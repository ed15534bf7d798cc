"""Finding entries in no known order, against the matrix that has them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from torch import Tensor

from banded.hessian.sparse import Entries, find_entries
from banded.hessian.verify import Products

DTYPES = [torch.float32, torch.float64]


def sparse(n: int, degree: int, seed: int, dense: int = 0) -> csr_array:
    """Random symmetric entries, about so many in a row, of sizes from 0.5 to 2, and rows that have nearly all."""
    rng = np.random.default_rng(seed)
    i, j = rng.integers(0, n, (2, n * degree // 2))
    for row in rng.permutation(n)[:dense]:
        columns = np.nonzero(rng.random(n) < 0.8)[0]
        i, j = np.append(i, np.full(len(columns), row)), np.append(j, columns)
    return symmetric(n, np.unique(np.minimum(i, j) * n + np.maximum(i, j)), rng)


def symmetric(n: int, keys: np.ndarray, rng: np.random.Generator) -> csr_array:
    """Entries at (keys // n, keys % n), and mirrored."""
    i, j = keys // n, keys % n
    value = rng.choice([-1, 1], len(keys)) * rng.uniform(0.5, 2, len(keys))
    off = i != j
    rows, columns = np.append(i, j[off]), np.append(j, i[off])
    return csr_array((np.append(value, value[off]), (rows, columns)), shape=(n, n))


def chain(n: int, k: int, seed: int) -> csr_array:
    """A full band, shuffled."""
    rng = np.random.default_rng(seed)
    place = rng.permutation(n)
    j = np.repeat(np.arange(n), k + 1)
    i = j + np.tile(np.arange(k + 1), n)
    i, j = place[i[i < n]], place[j[i < n]]
    return symmetric(n, np.minimum(i, j) * n + np.maximum(i, j), rng)


def products_of(A: csr_array, dtype: torch.dtype) -> Products:
    def products(x: Tensor, probes: Tensor) -> Tensor:
        assert probes.dtype == x.dtype == dtype
        return torch.from_numpy((A @ probes.double().numpy().T).T.copy()).to(dtype)

    return products


def find(A: csr_array, groups: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Entries | None:
    n = A.shape[0]
    return find_entries(products_of(A, dtype), torch.zeros(n, dtype=dtype), torch.arange(n), groups, seed)


def pairs(row: np.ndarray, column: np.ndarray) -> set[tuple[int, int]]:
    return set(zip(row.tolist(), column.tolist(), strict=True))


def check(found: Entries | None, A: csr_array) -> None:
    """Every entry outside dense rows is found, and nothing else; each once."""
    assert found is not None
    assert len(pairs(found.row, found.column)) == len(found.row)
    dense = set(found.dense.tolist())
    coo = A.tocoo()
    expected, got = pairs(coo.row, coo.col), pairs(found.row, found.column)
    assert got <= expected
    assert all(i in dense or j in dense for i, j in expected - got)
    assert got == {(j, i) for i, j in got}


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=30)
@given(st.integers(1, 300), st.integers(0, 4), st.integers(0, 2**31))
def test_entries_of_sparse_matrices_are_found(dtype: torch.dtype, n: int, degree: int, seed: int) -> None:
    A = sparse(n, degree, seed)
    found = find(A, 48, dtype, seed)
    check(found, A)
    assert found is not None
    assert not len(found.dense)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dense", [0, 1, 3])
@pytest.mark.parametrize("degree", [1, 4])
def test_entries_of_large_matrices_are_found(degree: int, dense: int, dtype: torch.dtype) -> None:
    A = sparse(3_000, degree, dense, dense)
    found = find(A, 48, dtype)
    check(found, A)
    full = np.nonzero(np.diff(A.indptr) > 1_000)[0]
    assert found is not None
    assert set(found.dense.tolist()) <= set(full.tolist())
    if not dense:
        assert not len(found.dense)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("n", "k", "groups"), [(400, 4, 24), (400, 20, 96), (3_000, 8, 24), (10_000, 1, 24)])
def test_no_entries_are_made_up(n: int, k: int, groups: int, dtype: torch.dtype) -> None:
    """Of the many sums of entries that share a group, some look like one entry by chance: one such would tie the
    ends of a shuffled chain together."""
    for seed in range(2):
        A = chain(n, k, seed)
        check(find(A, groups, dtype, seed), A)


def test_groups_do_not_grow_with_the_matrix() -> None:
    calls = []
    A = chain(5_000, 2, 0)
    products = products_of(A, torch.float64)

    def counted(x: Tensor, probes: Tensor) -> Tensor:
        calls.append(len(probes))
        return products(x, probes)

    check(find_entries(counted, torch.zeros(5_000, dtype=torch.float64), torch.arange(5_000), 24), A)
    assert len(calls) <= 5
    assert sum(calls) <= 400


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [500, 1_000])
def test_too_many_entries_are_given_up(n: int, dtype: torch.dtype) -> None:
    rng = np.random.default_rng(0)
    full = rng.standard_normal((n, n))
    assert find(csr_array(full + full.T), 24, dtype) is None
    assert find(sparse(n, n // 2, 0), 24, dtype) is None


@settings(deadline=None, max_examples=10)
@given(st.integers(50, 300), st.integers(5, 100), st.integers(0, 2**31))
def test_entries_are_all_found_or_given_up(n: int, degree: int, seed: int) -> None:
    A = sparse(n, degree, seed)
    found = find(A, 24, seed=seed)
    if found is not None:
        check(found, A)


def test_only_the_unknowns_asked_for_are_looked_among() -> None:
    """Numbered as they were given; the others, which may couple to everything, do not disturb."""
    n, p = 120, 4
    A = sparse(n, 3, 1).toarray()
    rng = np.random.default_rng(1)
    numbers = rng.permutation(n)[: n - p]
    others = np.setdiff1d(np.arange(n), numbers)
    A[others] = rng.standard_normal((p, n))
    A[:, others] = A[others].T
    products = products_of(csr_array(A), torch.float64)
    found = find_entries(products, torch.zeros(n, dtype=torch.float64), torch.from_numpy(numbers), 48)
    check(found, csr_array(A[numbers[:, None], numbers]))


@pytest.mark.parametrize("orders", [3, 12])
def test_each_row_is_judged_by_its_own_size(orders: int) -> None:
    size = 10.0 ** np.random.default_rng(0).uniform(-orders / 2, orders / 2, 200)
    A = csr_array(np.diag(size))
    check(find(A, 24), A)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_unknowns(n: int) -> None:
    rng = np.random.default_rng(n)
    full = rng.uniform(1, 2, (n, n))
    A = csr_array(full + full.T)
    check(find(A, 24), A)
    nothing = find(csr_array((n, n)), 24)
    assert nothing is not None
    assert (len(nothing.row), len(nothing.column), len(nothing.dense)) == (0, 0, 0)
