"""The laws that hold for every type of matrix, in one and in batches."""

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from banded.errors import NotPositiveDefiniteError
from banded.matrix import Symmetric
from twins import BATCHES, KINDS, Twin, first_bad_row, tolerance, twin

every_kind = pytest.mark.parametrize("kind", KINDS)
every_batch = pytest.mark.parametrize("batch", BATCHES)
ENTRIES: list[Callable[[Symmetric], Tensor]] = [
    lambda H: H.to_dense(),
    lambda H: H.diagonal(),
    lambda H: H.row_sums(),
    lambda H: H[torch.arange(3), -1],
]
EDGES = [(1, 0, 1), (2, 0, 2), (3, 1, 1), (5, 2, 5), (6, 0, 2), (7, 3, 1), (9, 1, 5)]  # m, k, p


@st.composite
def twins(draw: st.DrawFn, definite: bool = True) -> Twin:
    kind = draw(st.sampled_from(KINDS))
    m = draw(st.integers(1, 9))
    k = draw(st.integers(0, (m - 1) // 2 if "periodic" in kind else m - 1))
    batch = draw(st.sampled_from([(), (1,), *BATCHES[1:]]))
    return twin(kind, m, k, draw(st.integers(1, 4)), batch, seed=draw(st.integers(0, 2**31)), definite=definite)


def operands(A: np.ndarray, columns: tuple[int, ...] = ()) -> Tensor:
    return torch.randn(*A.shape[:-1], *columns, dtype=torch.tensor(A).dtype)


def check_algebra(one: Twin) -> None:
    H, A, n = one.H, one.dense, one.dense.shape[-1]
    eps = 10 * n * np.finfo(A.dtype).eps
    assert (H.n, H.shape, H.batch_shape, str(H.dtype)) == (n, A.shape, A.shape[:-2], f"torch.{A.dtype}")
    np.testing.assert_array_equal(H.to_dense(), A)
    np.testing.assert_array_equal(H.diagonal(), np.diagonal(A, axis1=-2, axis2=-1))
    np.testing.assert_array_equal(abs(H).to_dense(), np.abs(A))
    np.testing.assert_allclose(H.row_sums(), np.abs(A).sum(-1), rtol=eps)
    X, x = operands(A, (3,)), operands(A)
    np.testing.assert_allclose(H @ X, A @ X.numpy(), rtol=0, atol=eps * np.abs(A).max() * float(X.abs().max()))
    np.testing.assert_allclose(H @ x, (A @ x[..., None].numpy())[..., 0], rtol=0, atol=eps * np.abs(A).max() * 9)
    for shift in (2.5, -1, torch.tensor(0.5), torch.tensor(3), x):
        expected = A + np.eye(n, dtype=A.dtype) * np.asarray(shift, dtype=A.dtype)[..., None]
        np.testing.assert_array_equal(H.add_diagonal(shift).to_dense(), expected)
        assert type(H.add_diagonal(shift)) is type(H)
    assert {H.to_dense().dtype, (H @ x).dtype, H.row_sums().dtype, H.add_diagonal(1).dtype, abs(H).dtype} == {x.dtype}


def check_solving(one: Twin) -> None:
    H, A = one.H, one.dense
    near = tolerance(A)
    factor = H.cholesky()
    for b in (operands(A), operands(A, (3,)), operands(A, (1,)), operands(A, (0,))):
        expected = np.linalg.solve(A, b.numpy() if b.ndim == A.ndim else b[..., None].numpy()).reshape(b.shape)
        for x in (H.solve(b), factor.solve(b)):
            assert (x.dtype, x.shape) == (b.dtype, b.shape)
            np.testing.assert_allclose(x, expected, rtol=0, atol=near * np.abs(expected).max(initial=0))
    logdet = factor.logdet()
    assert (logdet.dtype, logdet.shape) == (H.dtype, H.batch_shape)
    np.testing.assert_allclose(logdet, np.linalg.slogdet(A)[1], rtol=near, atol=near)


@settings(deadline=None)  # the first call loads LAPACK
@given(twins(definite=False))
def test_algebra_matches_numpy(one: Twin) -> None:
    check_algebra(one)


@settings(deadline=None)
@given(twins())
def test_solving_matches_numpy(one: Twin) -> None:
    check_solving(one)


@every_kind
@every_batch
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_kind_batch_and_dtype(kind: str, batch: tuple[int, ...], dtype: torch.dtype) -> None:
    one = twin(kind, 7, 2, 2, batch, dtype=dtype)
    check_algebra(one)
    check_solving(one)


@every_kind
@pytest.mark.parametrize(("m", "k", "p"), EDGES)
def test_edges(kind: str, m: int, k: int, p: int) -> None:
    one = twin(kind, m, k, p, (2,))
    check_algebra(one)
    check_solving(one)


@every_kind
def test_a_batch_without_matrices(kind: str) -> None:
    H = twin(kind, 5, 1, 2, (0,)).H
    assert H.solve(torch.ones(0, H.n, dtype=H.dtype)).shape == (0, H.n)
    assert H.cholesky().logdet().shape == (0,)
    assert (H @ torch.ones(0, H.n, 3, dtype=H.dtype)).shape == (0, H.n, 3)


# Lookups


@every_kind
@every_batch
def test_lookups(kind: str, batch: tuple[int, ...]) -> None:
    one = twin(kind, 6, 1, 2, batch)
    H, A, n = one.H, one.dense, one.dense.shape[-1]
    for i in range(-n, n):
        for j in range(-n, n):
            np.testing.assert_array_equal(H[i, j], A[..., i, j])
    every = np.arange(-n, n)
    np.testing.assert_array_equal(H[torch.tensor(every)[:, None], torch.tensor(every)], A[..., every[:, None], every])
    np.testing.assert_array_equal(H[torch.tensor([0, -1], dtype=torch.int32), 1], A[..., [0, -1], 1])
    np.testing.assert_array_equal(H[0, torch.tensor([0, 1, 2], dtype=torch.uint8)], A[..., 0, :3])
    np.testing.assert_array_equal(H[np.int64(2), [0, -2]], A[..., 2, [0, -2]])
    assert H[torch.zeros(0, dtype=torch.long), 0].shape == (*batch, 0)


@every_kind
@pytest.mark.parametrize("outside", [6, 100, -7, torch.tensor([0, 6]), torch.tensor([[-7]])])
def test_lookups_outside(kind: str, outside: int | Tensor) -> None:
    H = twin(kind, 6 if "bordered" not in kind else 5, 1, 1).H
    with pytest.raises(IndexError, match=r"-6 <= i, j < 6 for n = 6 unknowns, got (6|100|-7)$"):
        H[outside, 0]
    with pytest.raises(IndexError, match="got"):
        H[0, outside]


@pytest.mark.parametrize(
    ("index", "error", "text"),
    [
        (3, TypeError, r"expected two, as in H\[i, j\], got 3"),
        ((1, 2, 3), TypeError, r"got \(1, 2, 3\)"),
        ((slice(2), 0), TypeError, r"got slice\(None, 2, None\); H.to_dense\(\)"),
        ((0, None), TypeError, "got None"),
        ((..., 0), TypeError, "got Ellipsis"),
        ((1.0, 0), TypeError, "got 1.0"),
        ((True, 0), TypeError, "got True"),
        (("a", 0), TypeError, "got 'a'"),
        ((torch.ones(2), 0), TypeError, "got torch.float32"),
        ((0, torch.ones(5, dtype=torch.bool)), TypeError, "got torch.bool; .* masks"),
        ((torch.arange(2), torch.arange(3)), IndexError, r"shapes \(2,\) and \(3,\); H\[i\[:, None\], j\]"),
    ],
)
def test_bad_lookups(index: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        twin("symmetric", 5, 1).H[index]


def test_a_matrix_is_no_sequence() -> None:
    with pytest.raises(TypeError, match="expected two"):
        list(twin("symmetric", 5, 1).H)  # type: ignore[call-overload]


# Derivatives


def leaves(one: Twin) -> tuple[Tensor, ...]:
    return tuple(part.clone().requires_grad_() for part in one.parts)


@every_kind
@pytest.mark.parametrize("batch", [(), (2,)])
@pytest.mark.parametrize("columns", [(), (2,)])
@pytest.mark.parametrize("name", ["solve", "__matmul__"])
def test_derivatives(kind: str, batch: tuple[int, ...], columns: tuple[int, ...], name: str) -> None:
    one = twin(kind, 5, 1, 2, batch)
    b = operands(one.dense, columns).requires_grad_()

    def f(b: Tensor, *parts: Tensor) -> Tensor:
        result: Tensor = getattr(one.matrix(*parts), name)(b)
        return result

    assert torch.autograd.gradcheck(f, (b, *leaves(one)))


@every_kind
def test_second_derivatives_of_solve(kind: str) -> None:
    one = twin(kind, 3, 1, 2)
    b = operands(one.dense).requires_grad_()
    assert torch.autograd.gradgradcheck(lambda b, *parts: one.matrix(*parts).solve(b), (b, *leaves(one)))


@every_kind
@pytest.mark.parametrize("f", ENTRIES)
def test_derivatives_of_entries(kind: str, f: Callable[[Symmetric], Tensor]) -> None:
    one = twin(kind, 4, 1, 2, (2,))
    assert torch.autograd.gradcheck(lambda *parts: f(one.matrix(*parts)), leaves(one))


@every_kind
def test_derivatives_of_a_shift(kind: str) -> None:
    one = twin(kind, 4, 1, 2)
    b = operands(one.dense)
    for shift in (operands(one.dense).abs(), torch.tensor(0.5, dtype=torch.float64)):
        assert torch.autograd.gradcheck(lambda s: one.H.add_diagonal(s).solve(b), shift.requires_grad_())


# What cannot be factored


@every_kind
@pytest.mark.parametrize(("batch", "of"), [((), ()), ((2,), (1,)), ((2, 3), (1, 2))])
def test_an_indefinite_matrix_names_its_row(kind: str, batch: tuple[int, ...], of: tuple[int, ...]) -> None:
    m, k, p = 5, 1, 2
    for place in range(m + p * ("bordered" in kind)):
        one = twin(kind, m, k, p, batch)
        unknown = int(one.order[place])
        shift = torch.zeros(one.dense.shape[:-1], dtype=torch.float64)
        shift[(*of, unknown)] = -2 * float(one.dense[(*of, unknown, unknown)])
        with pytest.raises(NotPositiveDefiniteError, match=r"add_diagonal\(...\) with a positive number") as caught:
            one.H.add_diagonal(shift).cholesky()
        assert caught.value.row == unknown
        assert f"row {unknown}" in str(caught.value)
        assert ("batch" in str(caught.value)) == bool(batch)
        if batch:
            assert f"of matrix {list(of)} in the batch" in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(twins(definite=False), st.floats(0, 3))
def test_the_row_is_the_first_whose_leading_minor_is_not_positive(one: Twin, shift: float) -> None:
    A = one.dense + shift * np.eye(one.dense.shape[-1])
    chain = A[..., one.order[:, None], one.order].reshape(-1, *A.shape[-2:])
    minors = [np.linalg.eigvalsh(A[:r, :r])[0] for A in chain for r in range(1, A.shape[-1] + 1)]
    if np.abs(minors).min() < 1e-9:
        return  # rounding decides
    rows = [first_bad_row(A) for A in chain]
    H = one.H.add_diagonal(shift)
    if rows == [None] * len(rows):
        H.cholesky()
        return
    with pytest.raises(NotPositiveDefiniteError) as caught:
        H.cholesky()
    possible = {int(one.order[row]) for row in rows if row is not None}
    assert caught.value.row in possible
    assert len(chain) > 1 or len(possible) == 1


# What does not fit


@every_kind
def test_operands_that_do_not_fit(kind: str) -> None:
    for batch, shapes in {
        (): [(6,), (8,), (1, 7), (2, 7), (7, 1, 1), ()],
        (2,): [(7,), (7, 2), (3, 7), (3, 7, 2), (1, 7), (2, 1, 7), (2, 8)],
        (2, 3): [(2, 7), (3, 7), (3, 2, 7), (6, 7), (2, 3, 1, 7)],
    }.items():
        H = twin(kind, 5 if "bordered" in kind else 7, 1, 2, batch).H
        wanted = rf"expected shape \({', '.join(map(str, (*batch, 7)))},?\) or .*, got "
        for shape in shapes:
            for use in (H.solve, H.__matmul__, H.cholesky().solve):
                with pytest.raises(ValueError, match=wanted):
                    use(torch.ones(shape, dtype=torch.float64))
        for shape in [*shapes[:-1], (*batch, 7, 1)]:
            with pytest.raises(ValueError, match=r"shift: expected a number or shape .* got"):
                H.add_diagonal(torch.ones(shape, dtype=torch.float64))


@every_kind
def test_operands_of_another_type(kind: str) -> None:
    H = twin(kind, 5 if "bordered" in kind else 7, 1, 2).H
    uses: list[Callable[[Any], object]] = [H.solve, H.__matmul__, H.add_diagonal]
    for use in uses:
        with pytest.raises(ValueError, match=r"expected torch.float64 on cpu .* got torch.float32 on cpu; convert"):
            use(torch.ones(7))
        with pytest.raises(ValueError, match=r"got torch.float64 on meta"):
            use(torch.ones(7, dtype=torch.float64, device="meta"))
        with pytest.raises(TypeError, match=r"expected a .*tensor.*, got list"):
            use([1.0] * 7)


# Copies and words


@every_kind
@every_batch
@pytest.mark.parametrize("way", ["deepcopy", "pickle", "torch"])
def test_copies_are_of_the_same_type_and_their_own(kind: str, batch: tuple[int, ...], way: str) -> None:
    one = twin(kind, 5, 2, 2, batch, dtype=torch.float32)
    H = one.H
    if way == "torch":
        file = io.BytesIO()
        torch.save(H, file)
        file.seek(0)
        twice = torch.load(file, weights_only=False)
    else:
        twice = copy.deepcopy(H) if way == "deepcopy" else pickle.loads(pickle.dumps(H))
    assert type(twice) is type(H)
    assert repr(twice) == repr(H)
    H.band.zero_()
    np.testing.assert_array_equal(twice.to_dense(), one.dense)
    b = operands(one.dense)
    np.testing.assert_allclose(
        twice.solve(b), one.matrix(*twin(kind, 5, 2, 2, batch, dtype=torch.float32).parts).solve(b)
    )


@every_kind
@every_batch
def test_matrices_are_equal_where_their_entries_are(kind: str, batch: tuple[int, ...]) -> None:
    one, same = twin(kind, 7, 2, 2, batch), twin(kind, 7, 2, 2, batch)
    assert one.H == same.H
    assert one.H != same.H * 2
    assert same.H.to(torch.float32) != one.H
    assert one.H != twin(kind, 8, 2, 2, batch).H
    assert one.H.to_dense() != one.H
    with pytest.raises(TypeError, match="unhashable"):
        hash(one.H)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("symmetric", "SymmetricBanded(n=6, bandwidth=1, "),
        ("periodic", "Periodic(n=6, bandwidth=1, "),
        ("bordered symmetric", "Bordered(n=8, core=SymmetricBanded, bandwidth=1, border=2, "),
        ("bordered periodic", "Bordered(n=8, core=Periodic, bandwidth=1, border=2, "),
        ("reordered periodic", "Reordered(n=6, inner=Periodic, bandwidth=1, "),
        ("reordered bordered periodic", "Reordered(n=8, inner=Bordered, core=Periodic, bandwidth=1, border=2, "),
    ],
)
def test_repr(kind: str, text: str) -> None:
    assert repr(twin(kind, 6, 1, 2).H) == f"{text}dtype=float64, device='cpu')"
    assert "batch_shape=(2, 3), " in repr(twin(kind, 6, 1, 2, (2, 3)).H)
