"""Matrices of few entries in a row, against dense ones."""

import pytest
import torch

from banded.errors import BandwidthError
from banded.matrix import Bordered, Periodic, Reordered, Symmetric, SymmetricBanded
from banded.matrix.rows import Congruence, Rows

N, K = 12, 3


def rows_like(name: str, seed: int = 0, batch: tuple[int, ...] = ()) -> tuple[Rows, Symmetric]:
    """Random rows whose JᵀDJ fits a matrix of some structure, and one such matrix, of zeros."""
    generator = torch.Generator().manual_seed(seed)
    border = 2 if name == "bordered" else 0
    core = N - border
    first = torch.randint(0, core - K if name != "periodic" else core, (9,), generator=generator)
    columns = (first[:, None] + torch.arange(K + 1)) % core
    if border:
        columns = torch.cat([columns, torch.randint(core, N, (9, 1), generator=generator)], 1)
    band = torch.zeros(K + 1, core, dtype=torch.float64)
    like: Symmetric = Periodic(band) if name == "periodic" else SymmetricBanded(band)
    if border:
        like = Bordered(like, band.new_zeros(border, core), band.new_zeros(border, border))
    if name == "reordered":
        order = torch.randperm(N, generator=generator)
        columns, like = order[columns], Reordered(like, order)
    values = torch.randn(*batch, *columns.shape, dtype=torch.float64, generator=generator)
    return Rows(columns, values, N), like


STRUCTURES = ["band", "periodic", "bordered", "reordered"]


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_products_are_those_of_the_dense_matrix(name: str, batch: tuple[int, ...]) -> None:
    A, _ = rows_like(name, batch=batch)
    dense = A.to_dense()
    x, u = torch.randn(*batch, N, dtype=torch.float64), torch.randn(*batch, A.m, dtype=torch.float64)
    torch.testing.assert_close(A @ x, (dense @ x[..., None])[..., 0])
    torch.testing.assert_close(A.transposed_times(u), (dense.mT @ u[..., None])[..., 0])
    torch.testing.assert_close(A.sizes(), dense.square().sum(-1))


@pytest.mark.parametrize("batch", [(), (3,)])
@pytest.mark.parametrize("name", STRUCTURES)
def test_congruence_is_that_of_the_dense_matrix(name: str, batch: tuple[int, ...]) -> None:
    A, like = rows_like(name, batch=batch)
    weights = torch.rand(*batch, A.m, dtype=torch.float64)
    made = Congruence(A.columns, like)
    expected = A.to_dense().mT @ (weights[..., None] * A.to_dense())
    torch.testing.assert_close(like.with_tensors(made(A.values, weights)).to_dense(), expected)
    zeros = tuple(one.new_zeros(*batch, *one.shape) for one in like.tensors)
    scattered = made._scattered(A.values, weights, zeros)  # what an accelerator runs
    torch.testing.assert_close(like.with_tensors(scattered).to_dense(), expected)


def test_repeated_columns_add_nothing() -> None:
    A = Rows(torch.tensor([[0, 1], [2, 2]]), torch.tensor([[1.0, 2.0], [3.0, 0.0]], dtype=torch.float64), 4)
    dense = torch.tensor([[1.0, 2, 0, 0], [0, 0, 3, 0]], dtype=torch.float64)
    torch.testing.assert_close(A.to_dense(), dense)
    like = SymmetricBanded(torch.zeros(2, 4, dtype=torch.float64))
    found = like.with_tensors(Congruence(A.columns, like)(A.values, torch.ones(2, dtype=torch.float64)))
    torch.testing.assert_close(found.to_dense(), dense.mT @ dense)


def test_rows_that_are_too_wide_are_refused() -> None:
    like = SymmetricBanded(torch.zeros(2, 6, dtype=torch.float64))
    with pytest.raises(BandwidthError, match="spans 3"):
        Congruence(torch.tensor([[0, 1], [2, 5]]), like)
