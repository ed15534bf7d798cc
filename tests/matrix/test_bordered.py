from typing import Any

import numpy as np
import pytest
import torch

from banded.errors import NonFiniteError
from banded.matrix import Bordered, Reordered, Symmetric, SymmetricBanded
from twins import twin


def core(batch: tuple[int, ...] = (), dtype: torch.dtype = torch.float64) -> Symmetric:
    return twin("symmetric", 5, 1, batch=batch, dtype=dtype).H


def test_what_lies_above_the_diagonal_of_the_corner_is_not_read() -> None:
    E, C = torch.randn(2, 5, dtype=torch.float64), torch.tensor([[40.0, np.nan], [3.0, 50.0]], dtype=torch.float64)
    H = Bordered(core(), E, C)
    same = torch.tensor([[40.0, 3.0], [3.0, 50.0]], dtype=torch.float64)
    assert torch.equal(H.corner, same)
    A, b = H.to_dense(), torch.randn(7, dtype=torch.float64)
    assert torch.equal(A[5:, 5:], same)
    torch.testing.assert_close(H @ b, A @ b, rtol=1e-13, atol=1e-13)
    torch.testing.assert_close(H.solve(b), torch.linalg.solve(A, b), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["bordered symmetric", "bordered periodic"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_named(kind: str, bad: float) -> None:
    m, k, p = 5, 1, 2
    for i in range(m + p):
        for j in range(i + 1):
            band, border, corner = twin(kind, m, k, p).parts
            if i >= m:
                part, cell = (border, (i - m, j)) if j < m else (corner, (i - m, j - m))
            elif i - j <= k:
                part, cell = band, (i - j, j)
            else:
                continue
            part[cell] = bad
            with pytest.raises(NonFiniteError, match=rf"A\[{i}, {j}\] = {bad}$"):
                twin(kind, m, k, p).matrix(band, border, corner).cholesky()


def test_borders_nest() -> None:
    inner = twin("reordered bordered periodic", 7, 2, 2, (2,))
    n, p = inner.H.n, 3
    E = torch.randn(2, p, n, dtype=torch.float64)
    C = 99 * torch.eye(p, dtype=torch.float64).expand(2, p, p)
    H = Bordered(inner.H, E, C)
    A = np.block([[inner.dense, np.swapaxes(E.numpy(), 1, 2)], [E.numpy(), C.numpy()]])
    b = torch.randn(2, n + p, dtype=torch.float64)
    np.testing.assert_array_equal(H.to_dense(), A)
    np.testing.assert_allclose(H @ b, (A @ b[..., None].numpy())[..., 0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(H.solve(b), np.linalg.solve(A, b[..., None].numpy())[..., 0], rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(H.cholesky().logdet(), np.linalg.slogdet(A)[1], rtol=1e-12)


@pytest.mark.parametrize(
    ("batch", "border", "corner"),
    [
        ((), (2, 4), (2, 2)),
        ((), (2, 5), (2, 3)),
        ((), (2, 5), (3, 3)),
        ((), (5,), ()),
        ((), (5,), (1, 1)),
        ((), (0, 5), (0, 0)),
        ((), (3, 2, 5), (3, 2, 2)),
        ((3,), (2, 5), (2, 2)),
        ((3,), (2, 2, 5), (2, 2, 2)),
        ((3,), (3, 2, 5), (2, 2)),
        ((2, 3), (3, 2, 2, 5), (3, 2, 2, 2)),
    ],
)
def test_shapes_that_do_not_fit(batch: tuple[int, ...], border: tuple[int, ...], corner: tuple[int, ...]) -> None:
    wanted = "".join(f"{size}, " for size in batch)
    with pytest.raises(
        ValueError, match=rf"expected shapes \({wanted}p, 5\) and \({wanted}p, p\) with p >= 1"
    ) as caught:
        Bordered(core(batch), torch.zeros(border).double(), torch.zeros(corner).double())
    assert str(caught.value).endswith(f"got {border} and {corner}")


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ((core(), torch.zeros(2, 5), torch.eye(2).double()), ValueError, r"border: expected torch.float64 .*\.to\("),
        ((core(), torch.zeros(2, 5).double(), torch.eye(2)), ValueError, r"corner: expected torch.float64 on cpu"),
        ((core(dtype=torch.float32), torch.zeros(2, 5, device="meta"), torch.eye(2)), ValueError, "got .* on meta"),
        ((core(), [[0.0] * 5], torch.eye(1).double()), TypeError, "border: expected a tensor, got list"),
        ((core(), torch.zeros(1, 5).double(), 1.0), TypeError, "corner: expected a tensor, got float"),
        ((torch.ones(2, 5), torch.zeros(2, 5), torch.eye(2)), TypeError, "core: expected a matrix .*, got Tensor"),
    ],
)
def test_parts_that_do_not_fit(arguments: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Bordered(*arguments)


def test_a_shift_of_the_corner_leaves_the_border_alone() -> None:
    H = twin("bordered symmetric", 4, 1, 2).H
    assert isinstance(H, Bordered)
    shifted = H.add_diagonal(torch.arange(6.0, dtype=torch.float64))
    assert shifted.border is H.border
    assert torch.equal(shifted.corner - H.corner, torch.diag(torch.tensor([4.0, 5.0])).double())


def test_a_core_in_another_order() -> None:
    order = torch.tensor([2, 0, 1])
    H = Bordered(
        Reordered(SymmetricBanded(torch.tensor([[1.0, 2, 3], [4, 5, 0]])), order), torch.ones(1, 3), torch.ones(1, 1)
    )
    expected = [[2, 5, 4, 1], [5, 3, 0, 1], [4, 0, 1, 1], [1, 1, 1, 1]]
    np.testing.assert_array_equal(H.to_dense(), expected)


def test_a_large_arrow_stays_linear_in_memory() -> None:
    n = 200_000  # dense: 320 GB
    band = torch.tensor([[2.5], [-1.0]], dtype=torch.float64).expand(2, n)
    H = Bordered(SymmetricBanded(band), torch.randn(2, n).double(), 1e8 * torch.eye(2).double())
    x = torch.randn(n + 2, dtype=torch.float64)
    torch.testing.assert_close(H.solve(H @ x), x, rtol=1e-8, atol=1e-8)
