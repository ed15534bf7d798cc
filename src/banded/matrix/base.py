"""What all the matrices with a band in them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from banded.canvas import new_figure
from banded.checks import check_operand, check_whole
from banded.factor import Refined, Solver, refine
from banded.matrix.index import check_slice, is_block, places
from banded.matrix.pattern import draw

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure


class Matrix(ABC):
    """A matrix A of m rows and n columns, or a batch of them, stored in O(m + n) numbers.

    Vectors are `(..., n)` and matrices of columns `(..., n, c)`, with the batch
    dimensions of A. `A[i, j]` looks entries up, `A[a:b, a:b]` takes a principal block.
    A matrix is a pytree of the tensors that it is stored in.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment]
    __array_ufunc__ = None  # NumPy leaves its operators to ours

    @property
    @abstractmethod
    def band(self) -> Tensor:
        """The stored diagonals of the matrix or of its core, `(..., diagonals, columns)`."""

    @property
    @abstractmethod
    def shape(self) -> torch.Size:
        """`(..., m, n)`."""

    @property
    @abstractmethod
    def tensors(self) -> tuple[Tensor, ...]:
        """What the entries are stored in; A is linear in them."""

    @abstractmethod
    def with_tensors(self, tensors: tuple[Any, ...]) -> Self:
        """The same structure with other entries, without a check."""

    def is_like(self, other: Matrix) -> bool:
        """Whether both keep their entries in the same way, whatever these are."""
        return type(self) is type(other)

    @property
    @abstractmethod
    def mT(self) -> Matrix:
        """The transpose."""

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions: `()` for one matrix."""
        return self.band.shape[:-2]

    @property
    def dtype(self) -> torch.dtype:
        """Of the entries."""
        return self.band.dtype

    @property
    def device(self) -> torch.device:
        """Of the entries."""
        return self.band.device

    @property
    def ndim(self) -> int:
        """Number of dimensions: 2 for one matrix."""
        return len(self.shape)

    @property
    def requires_grad(self) -> bool:
        """Whether derivatives with respect to the entries are recorded."""
        return any(one.requires_grad for one in self.tensors)

    def to(self, *arguments: Any, **named: Any) -> Self:
        """The matrix in another dtype or on another device, as `Tensor.to`."""
        moved = self.with_tensors(tuple(one.to(*arguments, **named) for one in self.tensors))
        if moved.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"expected float32 or float64, got {moved.dtype}")
        return moved

    def cpu(self) -> Self:
        """The matrix in the computer's own memory."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """The matrix on the current CUDA device."""
        return self.to("cuda")

    def clone(self) -> Self:
        """The matrix in memory of its own; differentiable."""
        return self.with_tensors(tuple(one.clone() for one in self.tensors))

    def detach(self) -> Self:
        """The matrix without a graph."""
        return self.with_tensors(tuple(one.detach() for one in self.tensors))

    def solve_refined(self, b: Tensor, factor: Solver | None = None, *, steps: int = 3) -> Refined:
        """X with A x = b, refined by its residual, and that residual.

        Args:
            b: right-hand side `(..., n)` or sides `(..., n, c)`.
            factor: of A, or of a matrix near A (regularised, or of the last iteration); A is factored if None.
            steps: refinements at most; none is kept that does not halve the largest residual.

        Returns:
            `x`, `residual` b - A x, and how many `steps` were kept.

        Raises:
            ValueError: as `solve`, and if `steps` is negative.
        """
        steps = check_whole("steps", steps)
        if steps < 0:
            raise ValueError(f"steps: expected 0 or more, got {steps}")
        return refine(lambda x: self @ x, self.factor() if factor is None else factor, b, steps)

    @abstractmethod
    def factor(self) -> Solver:
        """The factorisation that `solve` uses."""

    def to_dense(self) -> Tensor:
        """`(..., m, n)`, zeros included."""
        m, n = self.shape[-2:]
        return self._entries(torch.arange(m, device=self.device)[:, None], torch.arange(n, device=self.device))

    def to_sparse(self) -> Tensor:
        """A sparse tensor `(..., m, n)` in coordinate format; stored zeros stay. Differentiable once."""
        i, j = self._pattern()
        indices, values = torch.stack([i, j]), self._entries(i, j)
        if self.batch_shape:
            batch = torch.cartesian_prod(*(torch.arange(size, device=self.device) for size in self.batch_shape))
            batch = batch.reshape(-1, len(self.batch_shape)).T
            indices = torch.cat([batch.repeat_interleave(len(i), 1), indices.repeat(1, batch.shape[1])])
        sparse: Tensor = torch.sparse_coo_tensor(indices, values.reshape(-1), self.shape, check_invariants=False)
        return sparse.coalesce()

    def __getitem__(self, index: Any) -> Any:
        """Entries or a principal block.

        Args:
            index: i and j, whole numbers or tensors of them that broadcast to `shape`, negative ones
                counted from the end: A[i, j], `(..., *shape)`, zero outside the pattern. Or
                the same slice a:b twice: the rows and columns from a to b - 1 as a matrix.

        Raises:
            IndexError: if one of them lies outside, the two do not broadcast, or the block is empty.
            TypeError: if they are not two, or not whole numbers.
        """
        m, n = self.shape[-2:]
        if is_block(index):
            return self._block(*check_slice(index, m, n))
        i, j = places(index, m, n)
        return self._entries(i.to(self.device), j.to(self.device))

    def __matmul__(self, x: Any) -> Any:
        """A x for `x` `(..., n)` or `(..., n, c)`; for a matrix, their product where it is banded.

        Raises:
            ValueError: if `x` has another length, batch shape, dtype or device than A.
        """
        if isinstance(x, Matrix):
            return self._product(x)
        wanted = torch.Size((*self.batch_shape, self.shape[-1]))
        check_operand("x", x, self.band, wanted)
        if x.ndim == len(self.shape):
            return self._times(x)
        return self._times(x[..., None])[..., 0]

    def __abs__(self) -> Self:
        """The matrix of absolute entries."""
        return self.with_tensors(tuple(one.abs() for one in self.tensors))

    def __mul__(self, factor: float | Tensor) -> Self:
        """A times a number, or a tensor `()`."""
        if not isinstance(factor, Real | Tensor) or (isinstance(factor, Tensor) and factor.ndim):
            return NotImplemented
        return self.with_tensors(tuple(one * factor for one in self.tensors))

    __rmul__ = __mul__

    def __truediv__(self, divisor: float | Tensor) -> Self:
        """A over a number, or a tensor `()`."""
        if not isinstance(divisor, Real | Tensor) or (isinstance(divisor, Tensor) and divisor.ndim):
            return NotImplemented
        return self.with_tensors(tuple(one / divisor for one in self.tensors))

    def __neg__(self) -> Self:
        """The matrix of negative entries."""
        return self.with_tensors(tuple(-one for one in self.tensors))

    def __add__(self, other: Any) -> Any:
        """A + B, of the same shape, dtype and device.

        Raises:
            ValueError: if they differ in one of these.
        """
        if not isinstance(other, Matrix):
            return NotImplemented
        check_same(self, other)
        return self._plus(other)

    def __sub__(self, other: Any) -> Any:
        """A - B, of the same shape, dtype and device."""
        return self + -other if isinstance(other, Matrix) else NotImplemented

    def __eq__(self, other: object) -> bool:
        """Whether both are of one type, shape, dtype and device, with the same entries, however wide their bands."""
        if not isinstance(other, Matrix):
            return NotImplemented
        same = (type(self), self.shape, self.dtype, self.device) == (
            type(other),
            other.shape,
            other.dtype,
            other.device,
        )
        pair = self._alike(other) if same else None
        if pair is None:
            return False
        return all(torch.equal(*two) for two in zip(*(one.cleaned().tensors for one in pair), strict=True))

    @abstractmethod
    def cleaned(self) -> Self:
        """The same matrix, with zeros in the cells of its storage that lie outside."""

    def _plus(self, other: Matrix) -> Any:
        """A + B, or NotImplemented where their sum has no type."""
        pair = self._alike(other)
        if pair is None:
            return NotImplemented
        return pair[0].with_tensors(tuple(a + b for a, b in zip(*(one.tensors for one in pair), strict=True)))

    @abstractmethod
    def _alike(self, other: Matrix) -> tuple[Self, Self] | None:
        """Both in the same structure, or None where there is none."""

    def _product(self, other: Matrix) -> Any:
        """A B, or NotImplemented where their product is not banded."""
        return NotImplemented

    @abstractmethod
    def _block(self, first: int, end: int) -> Matrix:
        """Rows and columns first..end - 1."""

    @abstractmethod
    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        """A[i, j] for `i` and `j` that broadcast, in 0..m - 1 and 0..n - 1."""

    @abstractmethod
    def _pattern(self) -> tuple[Tensor, Tensor]:
        """`(entries,)` each: i and j of the entries that may be other than zero, each once."""

    @abstractmethod
    def _times(self, x: Tensor) -> Tensor:
        """A x for `x` `(..., n, c)`."""

    @abstractmethod
    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        """What A[i, j] belongs to where it is not zero: BAND, CORNERS or BORDER."""

    @abstractmethod
    def _widths(self) -> str:
        """The structure in a few words, as `repr` shows it."""

    def spy(self, axes: Axes | None = None) -> Figure:
        """Draw where A is not zero; of a large matrix the first and last rows, of a batch the first matrix.

        Args:
            axes: where to draw; a figure of its own if None.

        Returns:
            The figure; `.savefig(path)` writes it.

        Raises:
            ModuleNotFoundError: where matplotlib, the extra `plot`, is not installed.
        """
        if axes is None:
            axes = new_figure((4.8, 5.5)).subplots()
        draw(axes, self)
        figure: Figure = axes.figure.figure  # of a part of a figure, the whole
        return figure

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        for name, value in state[1].items():  # so that torch.load(..., weights_only=True) can, too
            setattr(self, name, value)

    def __repr__(self) -> str:
        batch = f"batch_shape={tuple(self.batch_shape)}, " if self.batch_shape else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{type(self).__name__}({self._size()}, {batch}{self._widths()}, dtype={dtype}, device='{self.device}')"

    def _size(self) -> str:
        return f"n={self.shape[-1]}"


def check_same(one: Matrix, other: Matrix) -> None:
    """Two matrices must have one shape, dtype and device."""
    if (one.shape, one.dtype, one.device) != (other.shape, other.dtype, other.device):
        raise ValueError(
            f"expected two matrices of one shape, dtype and device, got {tuple(one.shape)}, {one.dtype}, {one.device} "
            f"and {tuple(other.shape)}, {other.dtype}, {other.device}; .to(...) converts"
        )
