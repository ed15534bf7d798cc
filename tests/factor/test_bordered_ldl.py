import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from references import backward_error, lower_bands, near
from torch import Tensor

import oracles
from banded.errors import NonFiniteError, SingularError
from banded.factor import LDL, BorderedLDL

M, K, P = 6, 2, 2
BATCHES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 3)]


def matrices(batch: tuple[int, ...] = (), m: int = M, k: int = K, p: int = P, seed: int = 0) -> np.ndarray:
    """Indefinite, with a banded core and a dense border."""
    As = np.zeros((*batch, m + p, m + p))
    rng = np.random.default_rng(seed)
    for one in np.ndindex(*batch):
        core = oracles.symmetric(m, min(k, m - 1), int(rng.integers(2**31)))
        whole = oracles.symmetric(m + p, m + p - 1, int(rng.integers(2**31)))
        whole[:m, :m] = core
        As[one] = whole
    return As


def parts(As: np.ndarray, k: int = K, p: int = P) -> tuple[Tensor, Tensor, Tensor]:
    """Band, border and corner; NaN in what is not to be read."""
    m = As.shape[-1] - p
    batch = As.shape[:-2]
    k = min(k, m - 1)
    band = lower_bands(As[..., :m, :m], k) if As.size else torch.empty(*batch, k + 1, m, dtype=torch.float64)
    corner = np.where(np.tril(np.ones((p, p))) > 0, As[..., m:, m:], np.nan)
    return band, torch.tensor(As[..., m:, :m]), torch.tensor(corner)


def factor(band: Tensor, border: Tensor, corner: Tensor) -> BorderedLDL:
    return BorderedLDL(LDL(band), border, corner)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_solve_inertia_and_determinant(batch: tuple[int, ...], dtype: torch.dtype) -> None:
    As = matrices(batch)
    eps = torch.finfo(dtype).eps
    one = factor(*(part.to(dtype) for part in parts(As)))
    for columns in [(), (0,), (3,)]:
        b = torch.randn(*batch, M + P, *columns, dtype=dtype)
        x = one.solve(b)
        assert (x.dtype, x.shape) == (dtype, b.shape)
        assert backward_error(As, x, b) < 1e3 * eps
    values = np.linalg.eigvalsh(As)
    for found, expected in zip(one.inertia, (values > 0, values < 0, values == 0), strict=True):
        np.testing.assert_array_equal(found, expected.sum(-1))
        assert isinstance(found, Tensor) == bool(batch)
    sign, size = one.slogdet()
    np.testing.assert_array_equal(sign, np.linalg.slogdet(As)[0])
    np.testing.assert_allclose(size, np.linalg.slogdet(As)[1], rtol=1e4 * eps, atol=1e4 * eps)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 20), st.integers(0, 4), st.integers(1, 4), st.integers(0, 2**31))
def test_any_size(m: int, k: int, p: int, seed: int) -> None:
    A = matrices((), m, k, p, seed)
    if np.linalg.cond(A[:m, :m]) > 1e6 or np.linalg.cond(A) > 1e6:
        return
    one = factor(*parts(A, k, p))
    values = np.linalg.eigvalsh(A)
    assert one.inertia == ((values > 0).sum(), (values < 0).sum(), 0)
    b = torch.randn(m + p, dtype=torch.float64)
    near(one.solve(b), np.linalg.solve(A, b.numpy()), 1e-6)
    assert one.slogdet()[0] == np.linalg.slogdet(A)[0]
    np.testing.assert_allclose(one.slogdet()[1], np.linalg.slogdet(A)[1], rtol=1e-6, atol=1e-6)


def test_constraints_on_a_chain_count_as_negative_eigenvalues() -> None:
    """A saddle point: a positive definite core, p rows of constraints, a corner of zeros."""
    core, E = oracles.positive_definite(M, K), np.random.default_rng(0).standard_normal((P, M))
    A = np.block([[core, E.T], [E, np.zeros((P, P))]])
    one = factor(*parts(A))
    assert one.inertia == (M, P, 0)
    b = torch.randn(M + P, dtype=torch.float64)
    assert backward_error(A, one.solve(b), b) < 1e-13


def test_a_singular_core_is_refused_whatever_the_whole() -> None:
    A = matrices()
    A[:M, :M] = np.diag([1.0, -1.0, 0.0, 2.0, 3.0, 4.0])
    assert np.linalg.cond(A) < 1e3
    with pytest.raises(SingularError, match=r"\(row 2\)") as caught:
        factor(*parts(A))
    assert caught.value.row == 2
    with pytest.raises(SingularError, match=r"\(row 2 of matrix \[1\] in the batch\)"):
        factor(*parts(np.stack([matrices(), A])))


@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("scale", [1e-100, 1.0, 1e100])
def test_a_regular_core_in_a_singular_matrix(batch: tuple[int, ...], scale: float) -> None:
    """The last row repeats the one before: one eigenvalue is zero."""
    As = matrices(batch)
    bad = As[tuple(size - 1 for size in batch)]
    bad[-1] = bad[-2]
    bad[:, -1] = bad[:, -2]
    one = factor(*parts(As * scale))
    zero = np.zeros(batch)
    zero[tuple(size - 1 for size in batch)] = 1
    np.testing.assert_array_equal(one.inertia.zero, zero)
    values = np.linalg.eigvalsh(bad)
    assert np.asarray(one.inertia.positive).flat[-1] == (values > 1e-12).sum()
    place = r" of matrix \[1, 2\] in the batch" if batch else ""
    with pytest.raises(SingularError, match=rf"\(row {M}{place}\)"):
        one.solve(torch.ones(*batch, M + P, dtype=torch.float64))


def test_a_singular_matrix_has_no_determinant() -> None:
    """As of `LDL`: the sign 0, and the logarithm of 0."""
    for seed in range(5):
        repeats = np.vstack([np.eye(M + 3)[:-1], [0.0] * M + [0.3, 0.7, 0.0]])  # the last row: of the two before
        A = repeats @ matrices((), p=3, seed=seed) @ repeats.T
        one = factor(*parts(A, p=3))
        assert one.inertia.zero == 1
        assert tuple(map(float, one.slogdet())) == (0, -np.inf)


@pytest.mark.parametrize("batch", [(), (2,)])
def test_derivatives(batch: tuple[int, ...]) -> None:
    one = [part.nan_to_num().requires_grad_() for part in parts(matrices(batch, 3, 1), 1)]
    b = torch.randn(*batch, 3 + P, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda b, *one: factor(*one).solve(b), (b, *one), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(lambda b, *one: factor(*one).solve(b), (b, *one), fast_mode=True)


def test_solutions_are_those_of_the_matrix_that_was_factored() -> None:
    band, border, corner = parts(matrices())
    b = torch.ones(M + P, dtype=torch.float64)
    once = factor(band, border, corner)
    expected = once.solve(b)
    for part in (band, border, corner):
        part.mul_(2)
    assert torch.equal(once.solve(b), expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("part", "cell", "named"), [(1, (0, 0), "6, 0"), (1, (1, 3), "7, 3"), (2, (1, 0), "7, 6")])
def test_an_entry_that_is_not_finite_is_named(bad: float, part: int, cell: tuple[int, int], named: str) -> None:
    one = parts(matrices((2,)))
    one[part][(1, *cell)] = bad
    with pytest.raises(NonFiniteError, match=rf"got A\[{named}\] = {bad} of matrix \[1\] in the batch$"):
        factor(*one)


def test_a_core_so_near_to_singular_that_digits_go_is_refused() -> None:
    core, border, corner = torch.tensor([[1e-16, 2.0, 3.0]]), torch.tensor([[1.0, 2.0, 3.0]]), torch.ones(1, 1)
    with pytest.raises(SingularError, match="singular"):
        BorderedLDL(LDL(core.double()), border.double(), corner.double())
