from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import backward_error, kkt, lower_bands, near, swaps

import oracles
from banded.errors import NonFiniteError, SingularError
from banded.factor import LDL, Inertia

Family = Callable[[int, int, int], np.ndarray]  # of n, k and a seed


def no_diagonal(n: int, k: int, seed: int) -> np.ndarray:
    A = oracles.symmetric(n, k, seed)
    np.fill_diagonal(A, 0)
    return A


def with_holes(n: int, k: int, seed: int) -> np.ndarray:
    """Three entries in five are zero."""
    here = np.tril(np.random.default_rng(seed + 1).random((n, n)) < 0.4)
    return oracles.symmetric(n, k, seed) * (here | here.T)


def small_integers(n: int, k: int, seed: int) -> np.ndarray:
    """Singular ones are frequent."""
    return oracles.symmetric(n, k, seed).round()


def of_many_sizes(n: int, k: int, seed: int) -> np.ndarray:
    """Every entry of a size of its own."""
    lower = np.tril(oracles.symmetric(n, k, seed) * 10.0 ** np.random.default_rng(seed).uniform(-12, 0, (n, n)))
    return lower + np.tril(lower, -1).T


def badly_scaled(n: int, k: int, seed: int) -> np.ndarray:
    d = 10.0 ** np.random.default_rng(seed).uniform(-8, 8, n)
    return np.asarray(d[:, None] * oracles.symmetric(n, k, seed) * d)


def of_control(n: int, k: int, seed: int) -> np.ndarray:
    return kkt(n // 5, 1 + k % 3, k % 2, seed)


FAMILIES: list[Family] = [
    oracles.symmetric,
    no_diagonal,
    with_holes,
    small_integers,
    of_many_sizes,
    badly_scaled,
    of_control,
    lambda n, k, seed: swaps(n),
]


def signs(A: np.ndarray) -> tuple[int, int]:
    values = np.linalg.eigvalsh(A)
    return int((values > 0).sum()), int((values < 0).sum())


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FAMILIES), st.integers(1, 45), st.integers(0, 9), st.integers(0, 2**31))
def test_any_symmetric_band(family: Family, n: int, k: int, seed: int) -> None:
    A = family(n, min(k, n - 1), seed)
    n = len(A)
    factor = LDL(oracles.lower_band(A, max(min(k, n - 1), oracles.bandwidth(A, 0)), np.nan))
    values = np.linalg.eigvalsh(A)
    clear = np.abs(values).min() > 1e-9 * np.abs(values).max()
    positive, negative, zero = factor.inertia
    assert all(isinstance(one, int) for one in factor.inertia)
    assert positive + negative + zero == n
    b = torch.randn(n, 2, dtype=torch.float64)
    if clear:
        assert factor.inertia == (*signs(A), 0)
        sign, size = factor.slogdet()
        expected = np.linalg.slogdet(A)
        assert sign == expected[0]
        np.testing.assert_allclose(size, expected[1], rtol=1e-6, atol=1e-6)
    if zero:
        assert (float(factor.slogdet()[0]), float(factor.slogdet()[1])) == (0, -np.inf)
        with pytest.raises(SingularError):
            factor.solve(b)
    else:
        assert backward_error(A, factor.solve(b), b) < 1e-12


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(0, 8), st.integers(0, 2**31), st.floats(0, 12))
def test_inertia_and_rows_of_the_solution_do_not_change_with_the_scale(
    n: int, k: int, seed: int, decades: float
) -> None:
    """Sylvester: S A S has the inertia of A; and its solution of S b is S⁻¹ x."""
    k = min(k, n - 1)
    A = oracles.symmetric(n, k, seed)
    if np.linalg.cond(A) > 1e6:
        return
    S = 2.0 ** np.random.default_rng(seed).uniform(-decades, decades, n).round()  # exact
    factor = LDL(oracles.lower_band(S[:, None] * A * S, k))
    assert factor.inertia == (*signs(A), 0)
    b = np.random.default_rng(seed).standard_normal(n)
    near(factor.solve(torch.tensor(S * b)) * torch.tensor(S), np.linalg.solve(A, b), 1e-8)


@pytest.mark.parametrize("n", [1, 2, 3, 40, 41])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_a_chain_of_swaps_is_solved_exactly(n: int, k: int) -> None:
    k = min(k, n - 1)
    factor = LDL(oracles.lower_band(swaps(n), k, np.nan))
    assert factor.inertia == (n - n // 2, n // 2, 0)
    b = torch.arange(n, dtype=torch.float64)
    assert factor.solve(b).tolist() == (swaps(n) @ b.numpy()).tolist()
    assert tuple(map(float, factor.slogdet())) == ((-1) ** (n // 2), 0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("zeros", [0.0, 0.3])
def test_control_in_time_order(zeros: float, dtype: torch.dtype) -> None:
    """A long problem: as many negative eigenvalues as constraints; zero blocks on the diagonal throughout."""
    states, controls, stages = 3, 2, 60
    A = kkt(stages, states, controls, 3, zeros)
    factor = LDL(oracles.lower_band(A, oracles.bandwidth(A), np.nan).to(dtype))
    if zeros == 0:
        assert factor.inertia == ((states + controls) * stages + states, states * stages, 0)
    assert factor.inertia == (*signs(A), 0)
    b = torch.randn(len(A), dtype=dtype)
    assert backward_error(A, factor.solve(b), b) < 20 * torch.finfo(dtype).eps


BATCHES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 3)]


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "k"), [(1, 0), (5, 4), (20, 3)])
def test_batches_and_right_hand_sides(batch: tuple[int, ...], dtype: torch.dtype, n: int, k: int) -> None:
    eps = torch.finfo(dtype).eps
    size = int(np.prod(batch, dtype=int))
    As = np.array([oracles.symmetric(n, k, seed) for seed in range(size)]).reshape(*batch, n, n)
    band = lower_bands(As, k).to(dtype) if size else torch.empty(*batch, k + 1, n, dtype=dtype)
    factor, before = LDL(band), band.clone()
    for columns in [(), (0,), (1,), (4,)]:
        b = torch.randn(*batch, n, *columns, dtype=dtype)
        right = b.clone()
        x = factor.solve(b)
        assert (x.dtype, x.shape) == (dtype, b.shape)
        assert backward_error(As, x, b) < 20 * eps
        assert torch.equal(b, right)
    assert torch.equal(band.nan_to_num(), before.nan_to_num())
    expected_sign, expected_size = np.linalg.slogdet(As)
    sign, log = factor.slogdet()
    assert sign.dtype == log.dtype == dtype
    np.testing.assert_array_equal(sign, expected_sign)
    np.testing.assert_allclose(log, expected_size, rtol=1e4 * eps, atol=1e4 * eps)
    counts = np.array([signs(A) for A in As.reshape(-1, n, n)], dtype=int).reshape(*batch, 2)
    np.testing.assert_array_equal(factor.inertia.positive, counts[..., 0])
    np.testing.assert_array_equal(factor.inertia.negative, counts[..., 1])
    np.testing.assert_array_equal(factor.inertia.zero, np.zeros(batch))


# Singular matrices


def path_laplacian(n: int) -> np.ndarray:
    A = np.diag(np.r_[1.0, np.full(n - 2, 2.0), 1.0])
    return A - np.eye(n, k=1) - np.eye(n, k=-1)


@pytest.mark.parametrize(
    ("A", "inertia"),
    [
        (np.zeros((1, 1)), (0, 0, 1)),
        (np.zeros((4, 4)), (0, 0, 4)),
        (np.ones((3, 3)), (1, 0, 2)),
        (np.diag([1.0, 0.0, -1.0, 0.0, 3.0]), (2, 1, 2)),
        (path_laplacian(50), (49, 0, 1)),
        (-path_laplacian(50), (0, 49, 1)),
        (np.eye(5, k=1) + np.eye(5, k=-1), (2, 2, 1)),  # eigenvalues 2 cos(π m / 6)
        (np.kron(np.eye(3), np.array([[1.0, 2.0], [2.0, 4.0]])), (3, 0, 3)),
    ],
)
@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-200, 1e200])
def test_a_singular_matrix_counts_its_zeros_and_is_not_solved(
    A: np.ndarray, inertia: tuple[int, int, int], scale: float
) -> None:
    factor = LDL(oracles.lower_band(A * scale, max(1, oracles.bandwidth(A)) if len(A) > 1 else 0, np.nan))
    assert factor.inertia == Inertia(*inertia)
    assert tuple(map(float, factor.slogdet())) == (0, -np.inf)
    with pytest.raises(
        SingularError, match=r"has an inverse, got .* singular \(row \d+\).* added to its diagonal"
    ) as caught:
        factor.solve(torch.ones(len(A), dtype=torch.float64))
    row = caught.value.row
    without = np.delete(A, row, 0)  # that row is a combination of others
    assert np.linalg.matrix_rank(without) == np.linalg.matrix_rank(A)


def test_one_singular_matrix_of_a_batch() -> None:
    As = np.array([oracles.symmetric(4, 1, seed) for seed in range(6)]).reshape(2, 3, 4, 4)
    As[1, 0] = np.diag([1.0, -1.0, 0.0, 0.0])
    factor = LDL(lower_bands(As, 1))
    assert torch.as_tensor(factor.inertia.zero).tolist() == [[0, 0, 0], [2, 0, 0]]
    assert (factor.slogdet()[0] == 0).tolist() == [[False] * 3, [True, False, False]]
    with pytest.raises(SingularError, match=r"row 2 of matrix \[1, 0\] in the batch") as caught:
        factor.solve(torch.ones(2, 3, 4, dtype=torch.float64))
    assert caught.value.row == 2


def test_a_positive_number_on_the_diagonal_makes_it_regular() -> None:
    band = oracles.lower_band(path_laplacian(50), 1)
    band[0] += 1e-8
    assert LDL(band).inertia == (50, 0, 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(0, 0), (0, 4), (1, 2), (2, 2)])
@pytest.mark.parametrize("batch", [(), (2, 3)])
def test_an_entry_that_is_not_finite_is_named(bad: float, cell: tuple[int, int], batch: tuple[int, ...]) -> None:
    band = oracles.lower_band(oracles.symmetric(5, 2), 2, np.nan).expand(*batch, 3, 5).clone()
    band[(*(size - 1 for size in batch), *cell)] = bad
    place = r" of matrix \[1, 2\] in the batch" if batch else ""
    with pytest.raises(NonFiniteError, match=rf"A\[{sum(cell)}, {cell[1]}\] = {bad}{place}$"):
        LDL(band)


def test_an_overflow_of_the_solution_is_no_solution() -> None:
    factor = LDL(torch.tensor([[[1.0, -1.0]], [[1e-30, 1.0]]]))
    with pytest.raises(NonFiniteError, match=r"overflow of matrix \[1\] in the batch"):
        factor.solve(torch.full((2, 2), 1e20))


def test_a_zero_that_overflow_makes_is_none() -> None:
    with pytest.raises(NonFiniteError, match="overflow; scale the matrix"):
        LDL(torch.tensor([[3e38, -3e38], [3e38, 0]]))
    assert LDL(torch.tensor([[3e8, -3e8], [3e8, 0]])).inertia == (1, 1, 0)
