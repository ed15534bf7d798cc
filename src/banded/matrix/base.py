"""What all the symmetric matrices with a band in them have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from numbers import Real
from typing import TYPE_CHECKING, Self

import torch
from torch import Tensor

from banded.canvas import new_figure
from banded.checks import check_operand
from banded.factor import Factor
from banded.matrix.index import unknowns
from banded.matrix.pattern import draw

if TYPE_CHECKING:
    from banded.canvas import Axes, Figure


class Matrix(ABC):
    """A symmetric matrix A of n unknowns, or a batch of them, stored in O(n) numbers.

    Vectors are `(..., n)` and matrices of columns `(..., n, m)`, with the batch
    dimensions of A. `H[i, j]` looks entries up.
    """

    __slots__ = ()

    @property
    @abstractmethod
    def band(self) -> Tensor:
        """`(..., k + 1, n - p)`: the lower band of the matrix or of its core."""

    @property
    @abstractmethod
    def n(self) -> int:
        """Number of rows and columns."""

    @property
    def bandwidth(self) -> int:
        """k, the half-bandwidth of the band."""
        return self.band.shape[-2] - 1

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions: `()` for one matrix."""
        return self.band.shape[:-2]

    @property
    def shape(self) -> torch.Size:
        """`(..., n, n)`."""
        return torch.Size((*self.batch_shape, self.n, self.n))

    @property
    def dtype(self) -> torch.dtype:
        """Of the entries."""
        return self.band.dtype

    @property
    def device(self) -> torch.device:
        """Of the entries."""
        return self.band.device

    @abstractmethod
    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""

    def to_dense(self) -> Tensor:
        """`(..., n, n)`, both triangles."""
        every = torch.arange(self.n, device=self.device)
        return self._entries(every[:, None], every)

    def __getitem__(self, index: tuple[int | Tensor, int | Tensor]) -> Tensor:
        """A[i, j], `(...)` or `(..., *shape)` for i and j that broadcast to `shape`; zero outside the pattern.

        Args:
            index: i and j, whole numbers or tensors of them, from -n to n - 1; negative ones count from the end.

        Raises:
            IndexError: if one of them lies outside, or the two do not broadcast.
            TypeError: if they are not two, or not whole numbers.
        """
        i, j = unknowns(index, self.n)
        return self._entries(i.to(self.device), j.to(self.device))

    def __matmul__(self, x: Tensor) -> Tensor:
        """A x for `x` `(..., n)` or `(..., n, m)`, in the shape of `x`.

        Raises:
            ValueError: if `x` has another length, batch shape, dtype or device than A.
        """
        check_operand("x", x, self.band, self.shape[:-1])
        if x.ndim == len(self.shape):
            return self._times(x)
        return self._times(x[..., None])[..., 0]

    @abstractmethod
    def __abs__(self) -> Self:
        """The matrix of absolute entries."""

    def add_diagonal(self, shift: float | Tensor) -> Self:
        """A + diag(shift), for a number or a vector `(..., n)`.

        Raises:
            TypeError: if `shift` is neither a number nor a tensor.
            ValueError: if it has another length, batch shape, dtype or device than A.
        """
        wanted = self.shape[:-1]
        if not isinstance(shift, Tensor | Real):
            raise TypeError(
                f"shift: expected a number or a tensor of shape {tuple(wanted)}, got {type(shift).__name__}"
            )
        if not isinstance(shift, Tensor) or shift.ndim == 0:
            return self._shifted(torch.as_tensor(shift, dtype=self.dtype, device=self.device).expand(wanted))
        if shift.shape != wanted:
            raise ValueError(
                f"shift: expected a number or shape {tuple(wanted)}, got {tuple(shift.shape)}; "
                "shift.expand(...) repeats it over a batch"
            )
        check_operand("shift", shift, self.band, wanted)
        return self._shifted(shift)

    @abstractmethod
    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        """A[i, j] for `i` and `j` that broadcast, in 0..n - 1."""

    @abstractmethod
    def _times(self, x: Tensor) -> Tensor:
        """A x for `x` `(..., n, m)`."""

    @abstractmethod
    def _shifted(self, shift: Tensor) -> Self:
        """A + diag(shift), for a vector `(..., n)`."""

    @abstractmethod
    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        """What A[i, j] belongs to where it is not zero: BAND, CORNERS or BORDER."""

    @abstractmethod
    def cholesky(self) -> Factor:
        """Factor A = L Lᵀ once, to solve with it often.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
        """

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b for `b` `(..., n)` or `(..., n, m)`, by Cholesky; differentiable in A and b.

        Raises:
            NotPositiveDefiniteError: with the row at which the factorisation stops.
            NonFiniteError: if an entry is NaN or infinite.
            ValueError: if `b` has another length, batch shape, dtype or device than A.
        """
        return self.cholesky().solve(b)

    def row_sums(self) -> Tensor:
        """`(..., n)`: Σ_j |A[i, j]|, the scale of each row."""
        ones = torch.ones((*self.batch_shape, self.n), dtype=self.dtype, device=self.device)
        return abs(self) @ ones

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

    def __repr__(self) -> str:
        batch = f"batch_shape={tuple(self.batch_shape)}, " if self.batch_shape else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{type(self).__name__}(n={self.n}, {batch}{self._widths()}, dtype={dtype}, device='{self.device}')"

    def _widths(self) -> str:
        return f"bandwidth={self.bandwidth}"
