from typing import Any

import numpy as np
import pytest
import torch

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.matrix import Reordered, SymmetricBanded
from twins import BATCHES, twin


def test_a_small_example() -> None:
    # places 0, 1, 2 of the chain are the unknowns 2, 0, 1
    H = Reordered(SymmetricBanded(torch.tensor([[1.0, 2, 3], [4, 5, 0]])), torch.tensor([2, 0, 1]))
    np.testing.assert_array_equal(H.to_dense(), [[2, 5, 4], [5, 3, 0], [4, 0, 1]])
    np.testing.assert_array_equal(H.diagonal(), [2, 3, 1])
    np.testing.assert_array_equal(H @ torch.tensor([1.0, 0, 0]), [2, 5, 4])
    assert [float(H[i, j]) for i, j in ((0, 1), (2, 0), (-1, 1))] == [5, 4, 0]


@pytest.mark.parametrize("batch", BATCHES)
def test_an_order_within_an_order(batch: tuple[int, ...]) -> None:
    one = twin("reordered bordered periodic", 6, 1, 2, batch)
    order = torch.randperm(8)
    H = Reordered(one.H, order)
    A = np.empty_like(one.dense)
    A[..., order[:, None], order] = one.dense
    b = torch.randn(*batch, 8, dtype=torch.float64)
    np.testing.assert_array_equal(H.to_dense(), A)
    np.testing.assert_allclose(H.solve(b), np.linalg.solve(A, b[..., None].numpy())[..., 0], rtol=1e-10, atol=1e-12)


def test_the_order_that_changes_nothing() -> None:
    inner = twin("periodic", 6, 2).H
    H = Reordered(inner, torch.arange(6))
    assert torch.equal(H.to_dense(), inner.to_dense())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_an_order_of_any_whole_numbers(dtype: torch.dtype) -> None:
    one = twin("reordered symmetric", 6, 2)
    assert isinstance(one.H, Reordered)
    H = Reordered(one.H.inner, one.order.to(dtype))
    x = torch.randn(6, dtype=torch.float64)
    np.testing.assert_array_equal(H.to_dense(), one.dense)
    np.testing.assert_allclose(H @ x, one.dense @ x.numpy(), rtol=1e-13, atol=1e-13)


def test_trusted_takes_the_inverse_too() -> None:
    one = twin("reordered symmetric", 6, 2)
    assert isinstance(one.H, Reordered)
    H = Reordered.trusted(one.H.inner, one.order, one.order.argsort())
    np.testing.assert_array_equal(H.to_dense(), one.dense)


def test_an_indefinite_matrix_names_its_row_in_both_orders() -> None:
    inner = SymmetricBanded(torch.tensor([[1.0, 1.0, -1.0, 1.0]]))
    with pytest.raises(NotPositiveDefiniteError, match=r"\(row 2\); .*; in the user's order, this is row 0$") as caught:
        Reordered(inner, torch.tensor([1, 2, 0, 3])).cholesky()
    assert caught.value.row == 0


def test_an_entry_that_is_not_finite_is_named_along_the_band() -> None:
    inner = SymmetricBanded(torch.tensor([[1.0, 1.0, 1.0], [0.0, np.nan, 0.0]]))
    with pytest.raises(NonFiniteError, match=r"A\[2, 1\] = nan; .* A\[a, b\] there is H\[order\[a\], order\[b\]\]$"):
        Reordered(inner, torch.tensor([1, 2, 0])).cholesky()


@pytest.mark.parametrize(
    ("order", "error", "text"),
    [
        (torch.arange(4), ValueError, r"each of 0\.\.4 once, got tensor\(\[0, 1, 2, 3\]\)"),
        (torch.arange(6), ValueError, "once"),
        (torch.tensor([0, 1, 2, 3, 3]), ValueError, "once"),
        (torch.tensor([1, 2, 3, 4, 5]), ValueError, "once"),
        (torch.tensor([-1, 0, 1, 2, 3]), ValueError, "once"),
        (torch.arange(5)[None], ValueError, "once"),
        (torch.tensor(0), ValueError, "once"),
        (torch.arange(5.0), TypeError, "whole numbers, got torch.float32"),
        (torch.ones(5, dtype=torch.bool), TypeError, "got torch.bool"),
        (torch.arange(5).to(torch.complex64), TypeError, "got torch.complex64"),
        ([0, 1, 2, 3, 4], TypeError, r"got list; torch.as_tensor\(order\)"),
    ],
)
def test_bad_orders(order: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=rf"order: expected .*{text}"):
        Reordered(SymmetricBanded(torch.ones(1, 5)), order)


def test_bad_inner_matrices() -> None:
    with pytest.raises(TypeError, match=r"inner: expected a matrix .*, got Tensor"):
        Reordered(torch.eye(3), torch.arange(3))  # type: ignore[arg-type]
