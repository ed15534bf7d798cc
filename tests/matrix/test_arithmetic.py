"""Sums, multiples, blocks, sparse forms and inverses of every type of matrix, against dense ones."""

import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.utils import _pytree as pytree

import banded
from banded import Banded, Bordered, Periodic, SingularError, SymmetricBanded
from banded.matrix import Symmetric
from twins import BATCHES, KINDS, tolerance, twin

every_kind = pytest.mark.parametrize("kind", KINDS)
every_batch = pytest.mark.parametrize("batch", BATCHES)


@every_kind
@every_batch
def test_sums_and_multiples(kind: str, batch: tuple[int, ...]) -> None:
    one, wide = twin(kind, 7, 1, 2, batch, seed=1), twin(kind, 7, 3, 2, batch, seed=2)
    if "reordered" in kind:  # orders differ by their seeds
        wide = twin(kind, 7, 3, 2, batch, seed=1)
    H, G, A, B = one.H, wide.H, one.dense, wide.dense
    same_order = not isinstance(H, banded.Reordered) or torch.equal(one.order, wide.order)
    for result, expected in (
        (3 * H, 3 * A),
        (H * torch.tensor(0.5), A * 0.5),
        (H / 4, A / 4),
        (-H, -A),
        (H + H, A + A),
        (H - H * 3, A - A * 3),
    ):
        assert type(result) is type(H)
        np.testing.assert_array_equal(result.to_dense(), expected)
    if same_order:
        np.testing.assert_array_equal((H + G).to_dense(), A + B)
        np.testing.assert_array_equal((G - H).to_dense(), B - A)
        assert H + G == G + H
    assert H + H == 2 * H
    assert H.mT is H
    assert (H.to(torch.float32).dtype, H.detach().requires_grad) == (torch.float32, False)


@pytest.mark.parametrize("other", [1.0, torch.ones(7, 7, dtype=torch.float64), "H"])
def test_what_cannot_be_added(other: object) -> None:
    H = twin("symmetric", 7, 1).H
    with pytest.raises(TypeError):
        H + other
    with pytest.raises(ValueError, match="one shape, dtype and device"):
        H + twin("symmetric", 8, 1).H
    with pytest.raises(ValueError, match="one shape, dtype and device"):
        H - H.to(torch.float32)
    with pytest.raises(TypeError):
        H * torch.ones(7, dtype=torch.float64)


def test_types_that_do_not_add() -> None:
    bordered = twin("bordered symmetric", 5, 1, 2).H
    with pytest.raises(TypeError):
        bordered + twin("symmetric", 7, 1).H
    with pytest.raises(TypeError):
        bordered + twin("bordered symmetric", 6, 1, 1).H


@every_kind
@every_batch
def test_sparse_forms(kind: str, batch: tuple[int, ...]) -> None:
    one = twin(kind, 7, 2, 2, batch)
    sparse = one.H.to_sparse()
    np.testing.assert_array_equal(sparse.to_dense(), one.dense)
    assert sparse.shape == one.H.shape
    i, j = one.H._pattern()
    assert len(set(zip(i.tolist(), j.tolist(), strict=True))) == len(i)  # each entry once


@pytest.mark.parametrize("kind", ["symmetric", "periodic", "bordered symmetric", "bordered periodic"])
@every_batch
def test_principal_blocks(kind: str, batch: tuple[int, ...]) -> None:
    one = twin(kind, 8, 2, 2, batch)
    n, core = one.H.n, 8
    for first in range(core):
        for end in range(first + 1, n + 1):
            whole = first == 0 and end >= core
            corners = "periodic" in kind and not whole and min(end, core) - first > core - 2
            if corners:
                with pytest.raises(IndexError, match="whose corners are not zero"):
                    one.H[first:end, first:end]
            else:
                np.testing.assert_array_equal(
                    one.H[first:end, first:end].to_dense(), one.dense[..., first:end, first:end]
                )
    np.testing.assert_array_equal(one.H[-n:, -n:].to_dense(), one.dense)


@pytest.mark.parametrize("index", [(slice(1, 3), slice(1, 4)), (slice(3, 3),) * 2, (slice(0, 6, 2),) * 2])
def test_blocks_that_are_none(index: tuple[slice, slice]) -> None:
    with pytest.raises(IndexError, match=r"expected the same slice a:b .* got rows"):
        twin("symmetric", 7, 1).H[index]
    with pytest.raises(IndexError, match="reordered matrix"):
        twin("reordered symmetric", 7, 1).H[:3, :3]
    with pytest.raises(IndexError, match="starts before the border, at row 5"):
        twin("bordered symmetric", 5, 1, 2).H[5:, 5:]


# Factorisations


@every_kind
@every_batch
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_inverse_on_the_pattern(kind: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    one = twin(kind, 7, 2, 2, batch, dtype=dtype)
    inverse = one.H.inverse_band()
    assert type(inverse) is type(one.H)
    expected = np.linalg.inv(one.dense)
    i, j = one.H._pattern()
    near = tolerance(one.dense) * np.abs(expected).max()
    np.testing.assert_allclose(inverse[i, j], expected[..., i, j], rtol=0, atol=near)
    np.testing.assert_allclose(inverse.diagonal(), np.diagonal(expected, axis1=-2, axis2=-1), rtol=0, atol=near)


@every_kind
@every_batch
def test_indefinite_matrices(kind: str, batch: tuple[int, ...]) -> None:
    one = twin(kind, 7, 2, 2, batch, definite=False, seed=3)
    factor, A = one.H.ldl(), one.dense
    b = torch.randn(*A.shape[:-1], 2, dtype=torch.float64)
    expected = np.linalg.solve(A, b.numpy())
    near = tolerance(A) * np.abs(expected).max()
    np.testing.assert_allclose(factor.solve(b), expected, rtol=0, atol=near)
    np.testing.assert_allclose(factor.solve(b[..., 0]), expected[..., 0], rtol=0, atol=near)
    eigenvalues = np.linalg.eigvalsh(A)
    positive, negative, zero = one.H.inertia()
    np.testing.assert_array_equal(np.asarray(positive), (eigenvalues > 0).sum(-1))
    np.testing.assert_array_equal(np.asarray(negative), (eigenvalues < 0).sum(-1))
    np.testing.assert_array_equal(np.asarray(zero), 0)
    assert isinstance(positive, Tensor if batch else int)
    for mine, theirs in zip(factor.slogdet(), np.linalg.slogdet(A), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9, atol=1e-9)


@every_kind
def test_samples_have_the_inverse_for_their_covariance(kind: str) -> None:
    one = twin(kind, 5, 1, 2, (2,))
    generator = torch.Generator().manual_seed(0)
    x = one.H.cholesky().sample((100, 200), generator=generator)
    assert x.shape == (100, 200, 2, one.H.n)
    covariance = torch.einsum("stbi,stbj->bij", x, x).numpy() / 20_000
    expected = np.linalg.inv(one.dense)
    size = np.sqrt(np.diagonal(expected, axis1=-2, axis2=-1))
    assert (np.abs(covariance - expected) / (size[..., :, None] * size[..., None, :])).max() < 0.05  # 7 deviations
    again = one.H.cholesky().sample((100, 200), generator=torch.Generator().manual_seed(0))
    assert torch.equal(x, again)
    assert one.H.cholesky().sample().shape == (2, one.H.n)


def rebuilt(H: Symmetric, *tensors: Tensor) -> Symmetric:
    return H.with_tensors(tensors).cleaned()


@every_kind
def test_derivatives_of_factorisations(kind: str) -> None:
    H = twin(kind, 4, 1, 2).H.cleaned()
    tensors = [one.clone().requires_grad_() for one in H.tensors]
    b = torch.linspace(-1, 1, H.n, dtype=torch.float64, requires_grad=True)
    assert gradcheck(lambda *t: rebuilt(H, *t).cholesky().logdet(), tensors)
    assert gradgradcheck(lambda *t: rebuilt(H, *t).cholesky().logdet(), tensors)
    assert gradcheck(lambda *t: rebuilt(H, *t).inverse_band().tensors, tensors)
    assert gradcheck(lambda b, *t: rebuilt(H, *t).ldl().solve(b), (b, *tensors))
    assert gradgradcheck(lambda b, *t: rebuilt(H, *t).ldl().solve(b), (b, *tensors))


@every_kind
def test_refinement_returns_its_residual(kind: str) -> None:
    one = twin(kind, 7, 2, 2, dtype=torch.float64)
    b = torch.randn(one.H.n, 2, dtype=torch.float64)
    near = one.H.add_diagonal(1e-3).cholesky()
    x, residual, steps = one.H.solve_refined(b, near, steps=20)
    assert 2 <= steps < 20
    np.testing.assert_allclose(x, np.linalg.solve(one.dense, b.numpy()), rtol=0, atol=1e-12 * float(b.abs().max()))
    torch.testing.assert_close(residual, b - one.H @ x, rtol=0, atol=0)
    assert one.H.solve_refined(b, near, steps=0).steps == 0
    with pytest.raises(ValueError, match="steps: expected 0 or more, got -1"):
        one.H.solve_refined(b, steps=-1)


# PyTorch's transformations


@every_kind
def test_matrices_are_pytrees(kind: str) -> None:
    H = twin(kind, 5, 1, 2, (3,)).H
    leaves, spec = pytree.tree_flatten({"H": H})
    assert [id(leaf) for leaf in leaves] == [id(tensor) for tensor in H.tensors]
    assert pytree.tree_unflatten(leaves, spec)["H"] == H
    assert pytree.tree_flatten({"H": 2 * H})[1] == spec
    if not isinstance(H, banded.Reordered):
        assert pytree.tree_flatten({"H": twin(kind, 5, 1, 2, (3,), seed=1).H})[1] == spec
    b = torch.randn(3, H.n, dtype=torch.float64)
    torch.testing.assert_close(torch.func.vmap(lambda H, b: H @ b)(H, b), H @ b)
    torch.testing.assert_close(torch.func.vmap(lambda H, b: H.solve(b))(H, b), H.solve(b))
    torch.testing.assert_close(torch.func.vmap(lambda H, b: H.ldl().solve(b))(H, b), H.solve(b))
    assert torch.func.vmap(lambda H: 2 * H)(H) == 2 * H


@pytest.mark.parametrize("kind", ["symmetric", "periodic", "bordered symmetric"])
def test_matrices_pass_through_compiled_functions(kind: str) -> None:
    one = twin(kind, 5, 1, 2)
    b = torch.ones(one.H.n, dtype=torch.float64)

    @torch.compile
    def f(H: Symmetric, b: Tensor) -> tuple[Tensor, Symmetric]:
        return H.solve(b).sin() + H @ b, 2 * H

    x, doubled = f(one.H, b)
    torch.testing.assert_close(x, one.H.solve(b).sin() + one.H @ b)
    assert doubled == 2 * one.H


@every_kind
def test_saved_matrices_load_safely(kind: str) -> None:
    H = twin(kind, 5, 1, 2, (2,)).H
    file = io.BytesIO()
    torch.save({"H": H}, file)
    file.seek(0)
    assert torch.load(file)["H"] == H.cleaned()


@pytest.mark.parametrize("kind", ["periodic", "bordered symmetric", "bordered periodic"])
def test_derivatives_within_vmap_and_forward(kind: str) -> None:
    """Where PyTorch's own lu_solve and cholesky_inverse are wrong."""
    one = twin(kind, 6, 2, 2, (3,), definite=False, seed=5)
    b = torch.randn(3, one.H.n, dtype=torch.float64)
    found = torch.func.vmap(torch.func.jacrev(lambda H, b: H.ldl().solve(b), 1))(one.H, b)
    torch.testing.assert_close(found, torch.linalg.inv(torch.tensor(one.dense)))
    H = twin(kind, 6, 2, 2).H.cleaned()

    def variances(*tensors: Tensor) -> Tensor:
        return rebuilt(H, *tensors).inverse_band().diagonal()

    every = tuple(range(len(H.tensors)))
    forward, backward = (jac(variances, every)(*H.tensors) for jac in (torch.func.jacfwd, torch.func.jacrev))
    for mine, other in zip(forward, backward, strict=True):
        torch.testing.assert_close(mine, other)


def test_widths_may_grow_as_far_as_there_is_room() -> None:
    band = torch.ones(3, 8, dtype=torch.float64)
    for narrow, widest in ((SymmetricBanded(band).cleaned(), 7), (Periodic(band), 3)):
        width: Any = np.int64(widest)
        wide = narrow.widened(width)
        assert wide.bandwidth == widest
        assert torch.equal(wide.to_dense(), narrow.to_dense())
        for wrong in (1, -1, widest + 1):
            with pytest.raises(ValueError, match=f"bandwidth: expected 2, its own, to {widest}"):
                narrow.widened(wrong)
    general = Banded(band, 1, 1)
    assert torch.equal(general.widened(7, 3).to_dense(), general.to_dense())
    for widths in ((0, 1), (1, 0), (8, 1)):
        with pytest.raises(ValueError, match="expected"):
            general.widened(*widths)


def test_no_graph_is_dropped_in_silence() -> None:
    """A determinant without derivatives in a loss that has others would go unnoticed."""
    band = torch.tensor([[4.0, 5, 6], [1, 1, 0]], dtype=torch.float64, requires_grad=True)
    border, corner = torch.ones(1, 3).double(), torch.ones(1, 1).double()
    for factor in (
        SymmetricBanded(band).ldl(),
        Banded(band, 1, 0).lu(),
        Bordered(SymmetricBanded(band), border, corner).ldl(),
    ):
        with pytest.raises(NotImplementedError, match=r"A.detach\(\)"):
            factor.slogdet()
        with torch.no_grad():
            assert factor.slogdet()[1].isfinite()
    x = SymmetricBanded(band).solve(torch.ones(3).double())
    x += 1  # a solution may be written into
    assert x.requires_grad


def test_what_cannot_be_transformed_says_so() -> None:
    bands = torch.stack([torch.tensor([[4.0, 5, 6], [1, 1, 0]])] * 2)
    for f in (
        lambda band: SymmetricBanded(band).cholesky().sample(),
        lambda band: SymmetricBanded(band).solve_refined(band[0]).x,
    ):
        with pytest.raises(NotImplementedError, match="call it outside, on a batch"):
            torch.func.vmap(f, randomness="different")(bands)


def test_a_singular_core_is_not_called_a_singular_matrix() -> None:
    """A loop of six with zeros on the diagonal has eigenvalues 2 cos(2 pi j / 6)."""
    loop = Periodic(torch.stack([torch.zeros(6), torch.ones(6)]).double())
    with pytest.raises(SingularError, match="a core that has an inverse"):
        loop.inertia()
