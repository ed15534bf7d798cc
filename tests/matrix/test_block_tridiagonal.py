"""The block-tridiagonal form and cyclic reduction, against dense matrices."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

import oracles
from banded import Banded, BlockTridiagonal, NonFiniteError, NotPositiveDefiniteError, SymmetricBanded
from twins import twin

SIZES = [(1, 0), (3, 0), (2, 1), (7, 2), (8, 2), (9, 2), (10, 3), (16, 1), (5, 4), (13, 5), (33, 1)]  # n, k
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[
            pytest.mark.gpu,
            pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, there is none"),
        ],
    ),
]


def pair(n: int, k: int, batch: tuple[int, ...] = (), device: str = "cpu") -> tuple[SymmetricBanded, np.ndarray]:
    """A positive definite band, NaN outside, and the same in full."""
    count = int(np.prod(batch, dtype=int))
    full = [oracles.positive_definite(n, k, seed) for seed in range(count)]
    band = torch.stack([oracles.lower_band(A, k, poison=np.nan) for A in full]).reshape(*batch, k + 1, n)
    return SymmetricBanded(band.to(device)), np.stack(full).reshape(*batch, n, n)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("batch", [(), (2, 3)])
@pytest.mark.parametrize("wider", [0, 2])
def test_against_dense(n: int, k: int, batch: tuple[int, ...], wider: int, device: str) -> None:
    S, A = pair(n, k, batch, device)
    B = BlockTridiagonal.from_banded(S, max(1, k) + wider)
    np.testing.assert_array_equal(B.to_dense().cpu(), A)
    np.testing.assert_array_equal(B.to_banded().to_dense().cpu(), A)
    np.testing.assert_array_equal(B.to_sparse().to_dense().cpu(), A)
    np.testing.assert_array_equal(B.diagonal().cpu(), np.diagonal(A, axis1=-2, axis2=-1))
    x = torch.randn(*batch, n, 2, dtype=torch.float64)
    near = 1e-13 * np.linalg.cond(A).max()
    np.testing.assert_allclose((B @ x.to(device)).cpu(), A @ x.numpy(), rtol=0, atol=1e-12)
    expected = np.linalg.solve(A, x.numpy())
    np.testing.assert_allclose(B.solve(x.to(device)).cpu(), expected, rtol=0, atol=near)
    np.testing.assert_allclose(B.solve(x[..., 0].to(device)).cpu(), expected[..., 0], rtol=0, atol=near)
    np.testing.assert_allclose(B.cholesky().logdet().cpu(), np.linalg.slogdet(A)[1], rtol=1e-9, atol=1e-9)
    inverse, full = B.inverse_band(), np.linalg.inv(A)
    i, j = (one.cpu().numpy() for one in B._pattern())
    np.testing.assert_allclose(inverse[torch.tensor(i), torch.tensor(j)].cpu(), full[..., i, j], rtol=0, atol=near)
    # scaled and shifted, padding stays out of it
    np.testing.assert_allclose((3 * B).cholesky().logdet().cpu(), np.linalg.slogdet(3 * A)[1], rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal((B + 2 * B).to_dense().cpu(), A + 2 * A)
    assert BlockTridiagonal.from_banded(S, max(1, k) + wider) == B


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, there is none")
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_bands_on_an_accelerator_are_solved_there(n: int, k: int) -> None:
    S, A = pair(n, k, (), "cuda")
    b = torch.ones(n, dtype=torch.float64, device="cuda")
    x = S.solve(b)
    assert x.device.type == "cuda"
    np.testing.assert_allclose(x.cpu(), np.linalg.solve(A, np.ones(n)), rtol=0, atol=1e-13 * np.linalg.cond(A))
    np.testing.assert_allclose(S.inverse_band().diagonal().cpu(), np.diagonal(np.linalg.inv(A)), rtol=1e-8)
    with pytest.raises(NotPositiveDefiniteError) as caught:
        S.add_diagonal(-1e3).cholesky()
    assert caught.value.row == 0


def test_samples() -> None:
    S, A = pair(7, 2)
    x = BlockTridiagonal.from_banded(S).cholesky().sample((20_000,), generator=torch.Generator().manual_seed(0))
    covariance, expected = (x.T @ x).numpy() / 20_000, np.linalg.inv(A)
    size = np.sqrt(np.diag(expected))
    assert (np.abs(covariance - expected) / np.outer(size, size)).max() < 0.05


def test_derivatives() -> None:
    q = torch.tensor(np.random.default_rng(0).uniform(size=(3, 9)), requires_grad=True)
    b = torch.linspace(-1, 1, 9, dtype=torch.float64, requires_grad=True)

    def made(q: Tensor) -> BlockTridiagonal:
        return BlockTridiagonal.from_banded(SymmetricBanded(q).add_diagonal(6.0))

    assert gradcheck(lambda q, b: made(q).solve(b), (q, b))
    assert gradgradcheck(lambda q, b: made(q).solve(b), (q, b))
    assert gradcheck(lambda q: made(q).cholesky().logdet(), q)
    assert gradgradcheck(lambda q: made(q).cholesky().logdet(), q)
    assert gradcheck(lambda q: made(q).inverse_band().band, q)


@pytest.mark.parametrize("n", [12, 13])
@pytest.mark.parametrize("row", [0, 5, 11])
@pytest.mark.parametrize("batch", [(), (3,)])
def test_failures_are_told_as_for_a_band(n: int, row: int, batch: tuple[int, ...]) -> None:
    band = torch.stack([torch.full((n,), 3.0), torch.full((n,), -1.0), torch.full((n,), 0.5)]).double()
    band = band.expand(*batch, 3, n).clone()
    last = (2,) * len(batch)
    band[(*last, 0, row)] = -1
    told = r" of matrix \[2\] in the batch\)" if batch else r"\)"
    with pytest.raises(NotPositiveDefiniteError, match=rf"\(row {row}{told}") as caught:
        BlockTridiagonal.from_banded(SymmetricBanded(band)).cholesky()
    assert caught.value.row == row
    band[(*last, 0, row)] = torch.nan
    with pytest.raises(NonFiniteError, match=rf"A\[{row}, {row}\] = nan"):
        BlockTridiagonal.from_banded(SymmetricBanded(band)).cholesky()


def test_upper_triangles_and_padding_are_not_read() -> None:
    D = torch.tensor([[[4.0, torch.nan], [1, 5]], [[6, torch.nan], [torch.nan, torch.nan]]])
    E = torch.tensor([[[1.0, 2], [torch.nan, torch.nan]]])
    B = BlockTridiagonal(D, E, 3)
    np.testing.assert_array_equal(B.to_dense(), [[4, 1, 1], [1, 5, 2], [1, 2, 6]])
    np.testing.assert_allclose(B.solve(torch.ones(3)), np.linalg.solve(B.to_dense(), np.ones(3)), rtol=1e-6)
    assert repr(B) == "BlockTridiagonal(n=3, blocks of 2, dtype=float32, device='cpu')"


def test_what_does_not_fit() -> None:
    D, E = torch.eye(2).expand(3, 2, 2), torch.zeros(2, 2, 2)
    for below, n, text in (
        (E[:1], None, r"expected shapes \(..., T, b, b\) and \(..., T - 1, b, b\)"),
        (E.double(), None, "of one dtype"),
        (E, 4, "n: expected 4 < n <= 6"),
        (E, 7, "n: expected 4 < n <= 6"),
    ):
        with pytest.raises(ValueError, match=text):
            BlockTridiagonal(D, below, n)
    with pytest.raises(TypeError, match="below: expected a float32 or float64 tensor"):
        BlockTridiagonal(D, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="blocks of at least the half-bandwidth 2, got 1"):
        BlockTridiagonal.from_banded(pair(7, 2)[0], 1)
    with pytest.raises(IndexError, match="to_banded"):
        BlockTridiagonal(D, E)[:2, :2]


def test_edges_of_cyclic_reduction() -> None:
    one = BlockTridiagonal(torch.tensor([[[2.0]], [[torch.inf]], [[3]]]), torch.ones(2, 1, 1))
    with pytest.raises(NonFiniteError, match=r"A\[1, 1\] = inf"):
        one.cholesky()
    with pytest.raises(NotPositiveDefiniteError) as caught:
        BlockTridiagonal(-torch.eye(2)[None], torch.zeros(0, 2, 2)).cholesky()
    assert caught.value.row == 0
    assert pair(5, 2)[0].solve(torch.ones(5, 0, dtype=torch.float64)).shape == (5, 0)
    assert BlockTridiagonal.from_banded(pair(5, 2)[0]).solve(torch.ones(5, 0, dtype=torch.float64)).shape == (5, 0)
    q = torch.randn(3, 3, 7, dtype=torch.float64)
    dense = torch.func.vmap(
        lambda b: BlockTridiagonal.from_banded(SymmetricBanded(b).add_diagonal(20.0)).inverse_band().band
    )
    expected = [SymmetricBanded(b).add_diagonal(20.0).inverse_band().band for b in q]
    torch.testing.assert_close(dense(q)[:, :3], torch.stack(expected))


def test_forward_derivatives_of_the_inverse() -> None:
    q = torch.rand(3, 7, dtype=torch.float64)

    def f(q: Tensor) -> Tensor:
        found: Tensor = BlockTridiagonal.from_banded(SymmetricBanded(q).add_diagonal(6.0)).inverse_band().diagonal()
        return found

    torch.testing.assert_close(torch.func.jacfwd(f)(q), torch.func.jacrev(f)(q))


@pytest.mark.parametrize("kind", ["periodic", "bordered symmetric", "reordered symmetric"])
def test_other_types_are_not_taken_for_bands(kind: str) -> None:
    H: Any = twin(kind, 7, 1, 2).H
    for convert in (BlockTridiagonal.from_banded, Banded.from_symmetric):
        with pytest.raises(TypeError, match="expected a SymmetricBanded"):
            convert(H)
