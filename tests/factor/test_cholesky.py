from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.linalg
import torch
from references import backward_error, definite_batch, lower_bands, near
from torch import Tensor

import oracles
from banded import SymmetricBanded
from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Cholesky, cholesky
from twins import first_bad_row

SIZES = [(1, 0), (2, 1), (5, 0), (5, 2), (5, 4), (12, 11), (40, 7), (40, 13), (60, 14), (50, 20)]
BATCHES: list[tuple[int, ...]] = [(), (0,), (1,), (2, 3)]
DTYPES = [(torch.float32, 2e-4), (torch.float64, 1e-11)]


@pytest.fixture(params=["lapack", "kernels"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """One matrix takes this path, whatever its size; a batch always takes the kernels."""
    never = 2**62
    monkeypatch.setattr(cholesky, "LARGE", never if request.param == "lapack" else 0)
    monkeypatch.setattr(cholesky, "WIDE", never)
    if request.param == "kernels":
        monkeypatch.setattr(cholesky, "_FACTOR", {})
        monkeypatch.setattr(cholesky, "_SOLVE", {})
    return str(request.param)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize(("n", "k"), SIZES)
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("dtype", "rtol"), DTYPES)
def test_solve_and_logdet_agree_with_numpy(
    n: int, k: int, batch: tuple[int, ...], dtype: torch.dtype, rtol: float
) -> None:
    As = definite_batch(batch, n, k)
    band = lower_bands(As, k).to(dtype) if As.size else torch.empty(*batch, k + 1, n, dtype=dtype)
    factor = Cholesky(band)
    assert factor.logdet().dtype == dtype
    near(factor.logdet(), np.linalg.slogdet(As)[1], rtol)
    for columns in [(), (0,), (1,), (2,), (9,)]:
        b = torch.randn(*batch, n, *columns, dtype=dtype)
        x = factor.solve(b)
        assert (x.dtype, x.shape) == (dtype, b.shape)
        right = b.double().numpy()
        near(x, np.linalg.solve(As, right if columns else right[..., None]).reshape(b.shape), rtol)


@pytest.mark.parametrize("k", [63, 64, 65])
@pytest.mark.parametrize("n", [66, 500, 600])
def test_either_side_of_the_change_from_one_path_to_the_other(n: int, k: int) -> None:
    assert cholesky._is_lapacks(torch.empty(n, k + 1)) == (k >= 64 or n * (k + 1) < cholesky.LARGE)
    assert not cholesky._is_lapacks(torch.empty(2, n, k + 1))
    A = oracles.positive_definite(n, k)
    b = torch.randn(n, dtype=torch.float64)
    band = oracles.lower_band(A, k, np.nan)
    near(Cholesky(band).solve(b), scipy.linalg.solveh_banded(band.nan_to_num().numpy(), b.numpy(), lower=True), 1e-10)


@pytest.mark.usefixtures("path")
def test_factor_of_a_matrix_far_from_well_conditioned_is_backward_stable() -> None:
    rng = np.random.default_rng(0)
    As = np.array([D[:, None] * A * D for A in definite_batch((3,), 50, 6) for D in [10.0 ** rng.uniform(-9, 9, 50)]])
    b = torch.randn(3, 50, dtype=torch.float64)
    assert backward_error(As, Cholesky(lower_bands(As, 6)).solve(b), b) < 1e-14
    assert backward_error(As[0], Cholesky(lower_bands(As[0], 6)).solve(b[0]), b[0]) < 1e-14


@pytest.mark.usefixtures("path")
def test_strides_do_not_matter_and_input_is_left_alone() -> None:
    A = oracles.positive_definite(12, 3)
    band = oracles.lower_band(A, 3)
    b = torch.arange(24.0, dtype=torch.float64)[::2]
    for same in (
        band.mT.contiguous().mT,
        torch.stack([band, band], -1)[..., 0],
        band[:, None].expand(4, 2, 12)[:, 0],
        band.expand(3, 4, 12)[:1],
        band.expand(3, 4, 12),
        band.mT.contiguous().mT.expand(3, 4, 12).contiguous(),
        torch.stack([band, band], -1).movedim(-1, 0),
    ):
        before, right = same.clone(), b.expand(*same.shape[:-2], 12)
        x = Cholesky(same).solve(right)
        near(x, np.broadcast_to(np.linalg.solve(A, b.numpy()), x.shape), 1e-12)
        assert torch.equal(same, before)
        assert torch.equal(right, torch.arange(24.0, dtype=torch.float64)[::2].expand_as(right))


@pytest.mark.usefixtures("path")
def test_input_with_a_graph_and_without() -> None:
    band = oracles.lower_band(oracles.positive_definite(6, 2), 2)
    b = torch.ones(6, dtype=torch.float64)
    expected = Cholesky(band).solve(b)
    for of_band in (False, True):
        for of_b in (False, True):
            factor = Cholesky(band.clone().requires_grad_(of_band))
            x = factor.solve(b.clone().requires_grad_(of_b))
            assert x.requires_grad == (of_band or of_b)
            assert factor.logdet().requires_grad == factor.selected_inverse().requires_grad == of_band
            assert not factor.sample().requires_grad
            assert torch.equal(x, expected)


# What cannot be factored


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("seed", range(12))
def test_failure_is_at_the_first_leading_minor_that_is_not_positive(seed: int) -> None:
    n, k = 9, seed % 4
    A = oracles.symmetric(n, k, seed) + 1.5 * np.eye(n)
    row = first_bad_row(A)
    if row is None:
        Cholesky(oracles.lower_band(A, k, np.nan))
        return
    text = rf"leading minor of order {row + 1} .*\(row {row}\).*add_diagonal"
    with pytest.raises(NotPositiveDefiniteError, match=text) as caught:
        Cholesky(oracles.lower_band(A, k, np.nan))
    assert caught.value.row == row
    assert isinstance(caught.value, torch.linalg.LinAlgError)  # type: ignore[attr-defined]


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("A", [np.zeros((3, 3)), np.ones((3, 3)), -np.eye(3), np.diag([1.0, 0.0, 1.0])])
def test_semidefinite_is_not_definite(A: np.ndarray) -> None:
    with pytest.raises(NotPositiveDefiniteError) as caught:
        Cholesky(oracles.lower_band(A, 2))
    assert caught.value.row == first_bad_row(A)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cell", [(0, 0), (0, 3), (0, 4), (1, 2), (2, 1), (1, 3)])
@pytest.mark.parametrize("batch", [(), (1,), (2, 3)])
def test_an_entry_that_is_not_finite_is_named(bad: float, cell: tuple[int, int], batch: tuple[int, ...]) -> None:
    band = lower_bands(definite_batch(batch, 5, 2), 2)
    band[(*(size - 1 for size in batch), *cell)] = bad
    place = rf" of matrix \[{', '.join(str(size - 1) for size in batch)}\] in the batch" if batch else ""
    with pytest.raises(NonFiniteError, match=rf"A\[{sum(cell)}, {cell[1]}\] = {bad}{place}$"):
        Cholesky(band)


def test_the_failing_matrix_of_a_batch_is_named() -> None:
    band = lower_bands(definite_batch((6,), 5, 1), 1)
    band[4, 0, 2] = -1
    with pytest.raises(NotPositiveDefiniteError, match=r"\(row 2 of matrix \[4\] in the batch\)") as caught:
        Cholesky(band)
    assert caught.value.row == 2
    with pytest.raises(NotPositiveDefiniteError, match=r"\(row 2 of matrix \[1, 1\] in the batch\)"):
        Cholesky(band.reshape(2, 3, 2, 5))
    band[1, 1, 3] = np.nan
    with pytest.raises(NonFiniteError, match=r"A\[4, 3\] = nan of matrix \[0, 1\] in the batch$"):
        Cholesky(band.reshape(2, 3, 2, 5))


def test_an_overflow_within_the_kernels_is_no_solution() -> None:
    big = torch.tensor([[1.0, 1.0], [1e30, 0]])  # 1 - 1e60 is -inf in float32
    with pytest.raises(NotPositiveDefiniteError, match="row 1"):
        Cholesky(torch.stack([big, big]))


def test_an_overflow_within_lapack_is_no_solution(monkeypatch: pytest.MonkeyPatch) -> None:
    # LAPACK goes on after an overflow in some of its blocks only: which ones depends on the machine
    monkeypatch.setitem(cholesky._FACTOR, torch.float32, lambda band, lower: (np.full_like(band, np.nan), 0))
    with pytest.raises(NonFiniteError, match=r"got an overflow; scale the matrix$"):
        Cholesky(torch.full((1, 3), 1e38))


# How it gets there


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(), (1,)])
def test_a_band_in_the_order_of_lapack_gets_there_without_a_copy(
    batch: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    lapack = cholesky._FACTOR[dtype]
    came: list[np.ndarray] = []

    def watched(band: np.ndarray, lower: int) -> tuple[np.ndarray, int]:
        came.append(band)
        factor, info = lapack(band, lower=lower)
        return factor, info

    monkeypatch.setitem(cholesky._FACTOR, dtype, watched)
    band = oracles.lower_band(oracles.positive_definite(8, 2), 2).to(dtype).expand(*batch, 3, 8).mT.contiguous().mT
    Cholesky(band)
    (one,) = came
    assert one.flags.f_contiguous
    assert one.ctypes.data == band.data_ptr()


def results(band: Tensor, b: Tensor) -> list[Tensor]:
    """Of all that runs on threads."""
    factor = Cholesky(band.requires_grad_())
    inverse = factor.selected_inverse()
    generator = torch.Generator().manual_seed(1)
    (moved,) = torch.autograd.grad(inverse.square().sum(), band)
    return [factor.solve(b), factor.logdet(), inverse, moved, factor.sample(generator=generator)]


def test_bits_depend_neither_on_the_number_of_threads_nor_on_who_calls() -> None:
    As = definite_batch((7,), 60, 5)
    bands = lower_bands(As, 5)[torch.arange(700) % 7]  # enough cells for more threads than one
    b = torch.randn(700, 60, dtype=torch.float64)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        expected = results(bands.clone(), b)
        for threads in (2, 5):
            torch.set_num_threads(threads)
            assert all(map(torch.equal, results(bands.clone(), b), expected))
        with ThreadPoolExecutor(4) as pool:
            for found in pool.map(lambda _: results(bands.clone(), b), range(8)):
                assert all(map(torch.equal, found, expected))
    finally:
        torch.set_num_threads(before)
    near(expected[0][:7], np.linalg.solve(As, b[:7, :, None].numpy())[..., 0], 1e-12)


@pytest.mark.parametrize(
    ("B", "n", "k"), [(1, 30, 2), (1, 30, 0), (3, 30, 2), (20, 30, 2), (20, 300, 25), (1, 40000, 1)]
)
def test_each_of_a_batch_is_solved_or_told(B: int, n: int, k: int) -> None:
    """Indefinite, infinite and NaN ones among good ones, by every way there is."""
    rng = np.random.default_rng(B + n)
    band = torch.from_numpy(rng.standard_normal((B, k + 1, n)))
    band[:, 0] += 4 * (k + 1)
    bad = dict(zip(range(0, B, 4), (-1.0, np.inf, np.nan, 0.0), strict=False))
    for number, value in bad.items():
        band[number, 0, n // 2] = value
    b = torch.from_numpy(rng.standard_normal((B, n)))
    x, good = SymmetricBanded(band).solve_where_definite(b)
    assert good.tolist() == [number not in bad for number in range(B)]
    residual = SymmetricBanded(band[good]) @ x[good] - b[good] if bool(good.any()) else torch.zeros(1)
    assert float(residual.abs().max()) < 1e-12
    with pytest.raises((NotPositiveDefiniteError, NonFiniteError)):
        SymmetricBanded(band).solve(b)
