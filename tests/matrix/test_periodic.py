import numpy as np
import pytest
import torch

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.matrix import Periodic
from twins import loop, pattern, twin

LOOPS = [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (9, 4)]  # n, k; 2k + 1 = n in some


def test_the_storage_of_the_drawing() -> None:
    i, j = np.indices((5, 5))
    A = 10.0 * np.maximum(i, j) + np.minimum(i, j)
    H = Periodic.from_dense(torch.tensor(A), 2)
    drawn = [[0, 11, 22, 33, 44], [10, 21, 32, 43, 40], [20, 31, 42, 30, 41]]
    np.testing.assert_array_equal(H.band, drawn)
    np.testing.assert_array_equal(H.to_dense(), A)


@pytest.mark.parametrize(("n", "k"), LOOPS)
@pytest.mark.parametrize("batch", [(), (2,), (2, 3)])
def test_from_dense_reads_the_band_and_its_continuation(n: int, k: int, batch: tuple[int, ...]) -> None:
    A = twin("periodic", n, k, batch=batch).dense
    row = (np.arange(n) + np.arange(k + 1)[:, None]) % n
    read = np.zeros((n, n), dtype=bool)
    read[row, np.arange(n)] = True
    np.testing.assert_array_equal(Periodic.from_dense(torch.tensor(np.where(read, A, np.nan)), k).to_dense(), A)


@pytest.mark.parametrize(("n", "k"), LOOPS)
def test_every_cell_is_an_entry_of_its_own(n: int, k: int) -> None:
    band = torch.arange(1.0, (k + 1) * n + 1).reshape(k + 1, n)
    A = Periodic(band).to_dense().numpy()
    np.testing.assert_array_equal(loop(A, k), band)
    np.testing.assert_array_equal(A, A.T)
    np.testing.assert_array_equal(A != 0, pattern("periodic", n, k))


def test_a_loop_turned_round_is_the_same_loop() -> None:
    H = twin("periodic", 9, 2).H
    x = torch.randn(9, dtype=torch.float64)
    turned = Periodic(H.band.roll(4, -1))
    torch.testing.assert_close(turned @ x.roll(4), (H @ x).roll(4), rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(turned.solve(x.roll(4)), H.solve(x).roll(4), rtol=1e-12, atol=1e-12)


def test_the_laplacian_of_a_loop_is_singular_by_its_last_row() -> None:
    H = Periodic(torch.tensor([[2.0], [-1.0]], dtype=torch.float64).expand(2, 4))
    with pytest.raises(NotPositiveDefiniteError, match=r"order 4 .*\(row 3\)") as caught:
        H.add_diagonal(-1e-9).cholesky()
    assert caught.value.row == 3
    eigenvalues = 2 - 2 * np.cos(2 * np.pi * np.arange(4) / 4)
    logdet = H.add_diagonal(0.1).cholesky().logdet()
    np.testing.assert_allclose(logdet, np.log(eigenvalues + 0.1).sum(), rtol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_an_entry_that_is_not_finite_is_named(bad: float) -> None:
    n, k = 7, 2
    for d in range(k + 1):
        for j in range(n):
            band = twin("periodic", n, k).H.band
            band[d, j] = bad
            i = (j + d) % n
            with pytest.raises(NonFiniteError, match=rf"A\[{max(i, j)}, {min(i, j)}\] = {bad}$"):
                Periodic(band).cholesky()


@pytest.mark.parametrize(
    ("band", "error", "text"),
    [
        (torch.zeros(3, 4), ValueError, r"\(..., k \+ 1, n\) with 0 <= 2k < n, got \(3, 4\); a shorter loop"),
        (torch.zeros(2, 2), ValueError, r"got \(2, 2\)"),
        (torch.zeros(0, 4), ValueError, r"got \(0, 4\)"),
        (torch.zeros(1, 0), ValueError, r"got \(1, 0\)"),
        (torch.zeros(5), ValueError, r"\(..., k \+ 1, n\), got \(5,\)"),
        (torch.zeros(2, 5, dtype=torch.int32), TypeError, "int32"),
        (torch.zeros(2, 5, dtype=torch.complex128), TypeError, "complex128"),
        ([[1.0]], TypeError, "list"),
    ],
)
def test_bad_bands(band: torch.Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Periodic(band)


@pytest.mark.parametrize(
    ("matrix", "bandwidth", "error", "text"),
    [
        (torch.zeros(2, 3), 1, ValueError, r"\(..., n, n\), got \(2, 3\)"),
        (torch.eye(5), 5, ValueError, "0 <= bandwidth <= n - 1 = 4"),
        (torch.eye(5), 3, ValueError, r"2k < n, got \(4, 5\)"),
        (torch.eye(5), -1, ValueError, "got -1"),
        (torch.eye(5), 1.0, TypeError, "whole number"),
    ],
)
def test_bad_dense_matrices(matrix: torch.Tensor, bandwidth: int, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        Periodic.from_dense(matrix, bandwidth)


def test_a_large_loop_stays_linear_in_memory() -> None:
    n = 200_000  # dense: 320 GB
    H = Periodic(torch.tensor([[2.5], [-1.0]], dtype=torch.float64).expand(2, n))
    x = torch.randn(n, dtype=torch.float64)
    torch.testing.assert_close(H.solve(H @ x), x, rtol=1e-10, atol=1e-10)
