"""Log-determinants, bands of inverses and samples."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from references import definite_batch, dense_symmetric, lower_bands, near
from torch import Tensor

import oracles
from banded.factor import Cholesky

SIZES = [(1, 0), (4, 0), (4, 3), (7, 2), (30, 5)]
FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {  # ours, and dense
    "logdet": (lambda band: Cholesky(band).logdet(), lambda band: dense_symmetric(band).logdet()),
    "inverse_band": (
        lambda band: Cholesky(band).selected_inverse(),
        lambda band: dense_band(dense_symmetric(band).inverse(), band.shape[-2]),
    ),
}


def dense_band(A: Tensor, rows: int) -> Tensor:
    """The band of a dense matrix, by lookups."""
    n = A.shape[-1]
    d, j = torch.arange(rows)[:, None], torch.arange(n)
    return torch.where(d + j < n, A[..., (j + d).clamp(max=n - 1), j], 0)


def make(n: int = 4, k: int = 2, batch: tuple[int, ...] = (), poison: float = 0.0) -> Tensor:
    return lower_bands(definite_batch(batch, n, k), k, poison)


@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
@pytest.mark.parametrize(("dtype", "rtol"), [(torch.float32, 2e-4), (torch.float64, 1e-12)])
def test_band_of_the_inverse(n: int, k: int, batch: tuple[int, ...], dtype: torch.dtype, rtol: float) -> None:
    As = definite_batch(batch, n, k)
    found = Cholesky(lower_bands(As, k, np.nan).to(dtype)).selected_inverse()
    assert found.dtype == dtype
    near(found, lower_bands(np.linalg.inv(As), k, 0.0).numpy(), rtol)
    near(found[..., 0, :], np.diagonal(np.linalg.inv(As), axis1=-2, axis2=-1), rtol)


def test_a_batch_without_matrices() -> None:
    band = torch.empty(0, 3, 5, dtype=torch.float64, requires_grad=True)
    for f in (Cholesky(band).logdet, Cholesky(band).selected_inverse):
        (gradient,) = torch.autograd.grad(f().sum(), band, create_graph=True)
        assert gradient.shape == band.shape
    assert Cholesky(band).sample((4,)).shape == (4, 0, 5)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_derivatives(name: str, batch: tuple[int, ...]) -> None:
    f, _ = FUNCTIONS[name]
    for n, k in [(1, 0), (4, 2), (4, 3)]:
        band = make(n, k, batch).requires_grad_()
        assert torch.autograd.gradcheck(f, band, check_forward_ad=True)
    if name == "logdet":
        band = make(4, 2, batch).requires_grad_()
        assert torch.autograd.gradgradcheck(f, band)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("poison", [0.0, np.nan])
def test_functional_derivatives_agree_with_dense_ones(name: str, poison: float) -> None:
    f, dense = FUNCTIONS[name]
    jacrev, jacfwd, hessian, vmap = torch.func.jacrev, torch.func.jacfwd, torch.func.hessian, torch.func.vmap
    band = make(4, 2, (3,), poison)
    clean = band.nan_to_num()
    for of in (jacrev, jacfwd):
        near(vmap(of(f))(band), vmap(jacrev(dense))(clean).numpy(), 1e-11)
    if name == "logdet":
        expected = vmap(jacrev(jacrev(dense)))(clean).numpy()
        twice = (hessian(f), jacrev(jacrev(f)), jacrev(jacfwd(f)))
        for second in twice:
            near(vmap(second)(band), expected, 1e-11)
            near(second(band[0]), expected[0], 1e-11)


def test_a_tangent_is_not_read_outside_the_matrix() -> None:
    band = make(poison=np.nan)
    tangent = torch.where(band.isnan(), torch.nan, torch.ones_like(band))
    for f, dense in FUNCTIONS.values():
        expected = torch.func.jvp(dense, (band.nan_to_num(),), (tangent.nan_to_num(),))[1]
        near(torch.func.jvp(f, (band,), (tangent,))[1], expected.numpy(), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_derivatives_keep_the_dtype(dtype: torch.dtype) -> None:
    band = make().to(dtype).requires_grad_()
    exact = band.detach().double().requires_grad_()
    for f, dense in FUNCTIONS.values():
        (found,) = torch.autograd.grad(f(band).square().sum(), band, create_graph=True)
        (expected,) = torch.autograd.grad(dense(exact).square().sum(), exact)
        assert found.dtype == dtype
        near(found, expected.numpy(), 1e-5 if dtype == torch.float32 else 1e-13)


def test_more_derivatives_than_there_are_raise() -> None:
    band = make().requires_grad_()
    jacrev, jacfwd = torch.func.jacrev, torch.func.jacfwd
    (first,) = torch.autograd.grad(Cholesky(band).logdet(), band, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), band, create_graph=True)
    with pytest.raises(NotImplementedError, match="first and second derivatives"):
        torch.autograd.grad(second.sum(), band)
    for name, order in (("logdet", 2), ("inverse_band", 1)):
        f, _ = FUNCTIONS[name]
        for _ in range(order):
            f = jacrev(f)
        for one_more in (jacrev, jacfwd):
            with pytest.raises(NotImplementedError):
                one_more(f)(band.detach())


def test_forward_mode_within_itself_is_refused() -> None:
    jacfwd, jvp = torch.func.jacfwd, torch.func.jvp
    band = make()
    for f, _ in FUNCTIONS.values():
        with pytest.raises(NotImplementedError, match=r"at most one forward-mode .* torch.func.hessian"):
            jacfwd(jacfwd(f))(band)
        with pytest.raises(NotImplementedError, match="at most one forward-mode"):
            jvp(lambda y, f=f: jvp(f, (y,), (band,))[1], (band,), (band,))


# Scales: A -> S A S, whose inverse is S⁻¹ A⁻¹ S⁻¹, has derivatives that scale in the same way


def scales(n: int, largest: float) -> Tensor:
    """s_i s_j on the cells of a band, for s with squares from 1 / largest to largest, in no order."""
    S = 10.0 ** (np.random.default_rng(0).permutation(np.linspace(-0.5, 0.5, n)) * np.log10(largest))
    return lower_bands(np.outer(S, S), 2, 1.0)


@pytest.mark.parametrize("largest", [1.0, 1e8, 1e60, 1e150])
def test_derivatives_of_wildly_scaled_matrices(largest: float) -> None:
    n = 5
    band = make(n)
    on_band = scales(n, largest)
    wild = (band * on_band).requires_grad_()
    inverse = Cholesky(wild).selected_inverse()
    near(inverse * on_band, dense_band(dense_symmetric(band).inverse(), 3).numpy(), 1e-12)
    mild = band.clone().requires_grad_()
    weights = torch.randn(3, n, dtype=torch.float64)
    (expected,) = torch.autograd.grad((dense_band(dense_symmetric(mild).inverse(), 3) * weights).sum(), mild)
    (found,) = torch.autograd.grad((inverse * weights * on_band).sum(), wild)
    near(found * on_band, expected.numpy(), 1e-12)


def test_derivatives_of_a_wild_diagonal_along_a_plain_direction() -> None:
    """1 / a has the derivative -1 / a², for every a: the largest must not drown the rest."""
    a = torch.tensor([[1e-150, 1e-30, 1.0, 1e30, 1e150]], dtype=torch.float64, requires_grad=True)
    (found,) = torch.autograd.grad(Cholesky(a).selected_inverse().sum(), a)
    np.testing.assert_allclose(found[0, :3], -(a.detach()[0, :3] ** -2), rtol=1e-14)
    for single in a.detach()[0]:
        one = single.reshape(1, 1).requires_grad_()
        (found,) = torch.autograd.grad(Cholesky(one).selected_inverse().sum(), one)
        np.testing.assert_allclose(found, -(one.detach() ** -2), rtol=1e-14)


@pytest.mark.parametrize("change", [0.0, 1e-200, 1e-30, 1e100])
def test_the_size_of_the_change_does_not_matter(change: float) -> None:
    band, weights = make(), torch.randn(3, 4, dtype=torch.float64)
    f, dense = FUNCTIONS["inverse_band"]
    found = torch.func.jvp(f, (band,), (weights * change,))[1]
    expected = torch.func.jvp(dense, (band,), (weights,))[1]
    near(found, expected.numpy() * change, 1e-12)


# Samples


@pytest.mark.parametrize("batch", [(), (2,)])
def test_samples_have_the_covariance_of_the_inverse(batch: tuple[int, ...]) -> None:
    """The empirical covariance of N draws is off by some sqrt(2 / N) of the variances."""
    n, draws = 4, 40_000
    As = definite_batch(batch, n, 2)
    x = Cholesky(lower_bands(As, 2)).sample((draws // 4, 4), generator=torch.Generator().manual_seed(0))
    assert x.shape == (draws // 4, 4, *batch, n)
    x = x.reshape(draws, *batch, n).movedim(0, -1)
    near(x.mean(-1) * draws**0.5 / 5, np.zeros((*batch, n)) + 1e-300, 1e300)  # five standard errors of order 1
    near(x @ x.mT / draws, np.linalg.inv(As), 5 * (2 / draws) ** 0.5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_samples_follow_their_generator(dtype: torch.dtype) -> None:
    factor = Cholesky(oracles.lower_band(oracles.positive_definite(6, 2), 2, np.nan).to(dtype))
    one, same, other = (factor.sample((3,), generator=torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert one.dtype == dtype
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert factor.sample().shape == (6,)
    assert factor.sample((0, 2)).shape == (0, 2, 6)
