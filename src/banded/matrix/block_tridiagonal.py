"""The block-tridiagonal form of a band, for accelerators."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.checks import check_type
from banded.factor import LDL, BlockCholesky
from banded.matrix.base import Matrix
from banded.matrix.pattern import BAND
from banded.matrix.symmetric import Symmetric
from banded.matrix.symmetric_banded import SymmetricBanded


class BlockTridiagonal(Symmetric):
    """A symmetric matrix of T x T dense blocks of size b, with A[t, s] = 0 wherever |t - s| > 1.

    For T = 4::

        D0  E0ᵀ  .   .
        E0  D1  E1ᵀ  .
        .   E1  D2  E2ᵀ
        .   .   E2  D3

    Its algebra is batched dense operations, its Cholesky factor by cyclic reduction takes ⌈log2 T⌉ + 1 of
    them: the form that accelerators like. On a CPU, `to_banded()` is faster.

    Args:
        diagonal: D `(..., T, b, b)`, of which the lower triangles are read.
        below: E `(..., T - 1, b, b)`: A[t + 1, t].
        n: unknowns, if fewer than T b: those behind them pad the last block. T b if None.

    Raises:
        TypeError: if one of the two is not a float32 or float64 tensor.
        ValueError: if the shapes, dtypes or devices do not fit each other.
    """

    __slots__ = ("_n", "below", "blocks")

    def __init__(self, diagonal: Tensor, below: Tensor, n: int | None = None) -> None:
        _check_blocks(diagonal, below, n)
        T, b = diagonal.shape[-3:-1]
        size = T * b if n is None else n
        i = torch.arange(b, device=diagonal.device)
        mirrored = diagonal[..., torch.maximum(i[:, None], i), torch.minimum(i[:, None], i)]
        inside = torch.arange(T, device=diagonal.device)[:, None] * b + i < size
        self.blocks = torch.where(inside[:, :, None] & inside[:, None, :], mirrored, 0)
        self.below = torch.where(inside[1:, :, None], below, 0)
        self._n = size

    @classmethod
    def from_banded(cls, matrix: SymmetricBanded, size: int | None = None) -> BlockTridiagonal:
        """A banded matrix in blocks.

        Args:
            matrix: the matrix.
            size: b, no smaller than the half-bandwidth; that, and at least 1, if None.

        Raises:
            ValueError: if `size` is smaller.
        """
        check_type("matrix", matrix, SymmetricBanded)
        b = max(1, matrix.bandwidth) if size is None else size
        if b < max(1, matrix.bandwidth):
            raise ValueError(f"size: expected blocks of at least the half-bandwidth {matrix.bandwidth}, got {size}")
        n = matrix.n
        T = -(-n // b)
        place = torch.arange(T * b, device=matrix.device).reshape(T, b)

        def read(rows: Tensor, columns: Tensor) -> Tensor:
            i, j = rows[:, :, None], columns[:, None, :]
            entries = matrix._entries(i.clamp(max=n - 1), j.clamp(max=n - 1))
            return torch.where((i < n) & (j < n), entries, 0)

        return cls._of(read(place, place), read(place[1:], place[:-1]), n)

    def to_banded(self) -> SymmetricBanded:
        """The band around the blocks."""
        return SymmetricBanded(self.band)

    @classmethod
    def _of(cls, blocks: Any, below: Any, n: int) -> BlockTridiagonal:
        matrix = cls.__new__(cls)
        matrix.blocks, matrix.below, matrix._n = blocks, below, n
        return matrix

    @property
    def band(self) -> Tensor:
        """`(..., k + 1, n)`: the lower band with k = 2b - 1, or n - 1 if that is less."""
        n = self._n
        j = torch.arange(n, device=self.device)
        d = torch.arange(min(2 * self.blocks.shape[-1], n), device=self.device)[:, None]
        return torch.where(j + d < n, self._entries((j + d).clamp(max=n - 1), j), 0)

    @property
    def bandwidth(self) -> int:
        """K = 2b - 1, the half-bandwidth of the band around the blocks, or n - 1 if that is less."""
        return min(2 * self.blocks.shape[-1], self._n) - 1

    @property
    def batch_shape(self) -> torch.Size:
        """Leading dimensions: `()` for one matrix."""
        return self.blocks.shape[:-3]

    @property
    def dtype(self) -> torch.dtype:
        """Of the entries."""
        return self.blocks.dtype

    @property
    def device(self) -> torch.device:
        """Of the entries."""
        return self.blocks.device

    @property
    def n(self) -> int:
        """Number of rows and columns."""
        return self._n

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """The blocks of the diagonal, and those below."""
        return self.blocks, self.below

    def with_tensors(self, tensors: tuple[Any, ...]) -> BlockTridiagonal:
        """The same structure with other blocks, without a check."""
        blocks, below = tensors
        return self._of(blocks, below, self._n)

    def is_like(self, other: Matrix) -> bool:
        """Whether both have as many unknowns."""
        return isinstance(other, BlockTridiagonal) and self._n == other._n

    def diagonal(self) -> Tensor:
        """`(..., n)`: A[i, i]."""
        return self.blocks.diagonal(dim1=-2, dim2=-1).flatten(-2)[..., : self._n]

    def cleaned(self) -> BlockTridiagonal:
        """The matrix itself: every cell outside holds a zero."""
        return self

    def cholesky(self) -> BlockCholesky:
        """Factor A = M Mᵀ once, by cyclic reduction.

        Raises:
            NotPositiveDefiniteError: with the row at which a factorisation from the first row on stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        T, b = self.blocks.shape[-3:-1]
        padding = (torch.arange(T * b, device=self.device) >= self._n).to(self.dtype).reshape(T, b)
        return BlockCholesky(self.blocks + torch.diag_embed(padding), self.below, self._n)

    def ldl(self) -> LDL:
        """Factor A = L D Lᵀ once, as a band, on the CPU.

        Raises:
            NonFiniteError: if an entry is NaN or infinite.
        """
        return LDL(self.band)

    def inverse_band(self) -> BlockTridiagonal:
        """The blocks of A⁻¹ where A has its own; differentiable.

        Raises:
            NotPositiveDefiniteError: with the row at which a factorisation from the first row on stops.
            NonFiniteError: if an entry is NaN or infinite.
        """
        blocks, below = self.cholesky().inverse_blocks()
        return BlockTridiagonal(blocks, below, self._n)  # without what stands for the padding

    def _alike(self, other: Matrix) -> tuple[BlockTridiagonal, BlockTridiagonal] | None:
        same = isinstance(other, BlockTridiagonal) and self.blocks.shape == other.blocks.shape
        return (self, other) if same and isinstance(other, BlockTridiagonal) else None

    def _plus(self, other: Matrix) -> Any:
        pair = self._alike(other)
        if pair is None:
            return NotImplemented
        one, two = pair
        return BlockTridiagonal(one.blocks + two.blocks, one.below + two.below, self._n)

    def _block(self, first: int, end: int) -> Symmetric:
        raise IndexError(
            "index: expected entries of a block-tridiagonal matrix, got a block; take one of A.to_banded()"
        )

    def _pattern(self) -> tuple[Tensor, Tensor]:
        T, b = self.blocks.shape[-3:-1]
        t, r, c = (
            one.flatten()
            for one in torch.meshgrid(*(torch.arange(size, device=self.device) for size in (T, b, b)), indexing="ij")
        )
        i, j, below = t * b + r, t * b + c, t * b + r + b
        i, j = torch.cat([i, below, j]), torch.cat([j, j, below])
        inside = (i < self._n) & (j < self._n)
        return i[inside], j[inside]

    def _entries(self, i: Tensor, j: Tensor) -> Tensor:
        b, T = self.blocks.shape[-1], self.blocks.shape[-3]
        i, j = torch.maximum(i, j), torch.minimum(i, j)
        t, s, r, c = i // b, j // b, i % b, j % b
        on = self.blocks[..., t, r, c]
        if T == 1:
            return on
        off = self.below[..., s.clamp(max=T - 2), r, c]
        return torch.where(t == s, on, torch.where(t == s + 1, off, 0))

    def _times(self, x: Tensor) -> Tensor:
        T, b = self.blocks.shape[-3:-1]
        blocks = pad(x, (0, 0, 0, T * b - self._n)).reshape(*x.shape[:-2], T, b, x.shape[-1])
        down = self.below @ blocks[..., :-1, :, :]
        up = self.below.mT @ blocks[..., 1:, :, :]
        y = self.blocks @ blocks + pad(down, (0, 0, 0, 0, 1, 0)) + pad(up, (0, 0, 0, 0, 0, 1))
        return y.flatten(-3, -2)[..., : self._n, :]

    def _of_outer(self, w: Tensor, v: Tensor) -> BlockTridiagonal:
        T, b = self.blocks.shape[-3:-1]
        left, right = (
            pad(one, (0, 0, 0, T * b - self._n)).reshape(*one.shape[:-2], T, b, one.shape[-1]) for one in (w, v)
        )
        return self.with_tensors((left @ right.mT, left[..., 1:, :, :] @ right[..., :-1, :, :].mT))

    def _shifted(self, shift: Tensor) -> BlockTridiagonal:
        T, b = self.blocks.shape[-3:-1]
        added = pad(shift, (0, T * b - self._n)).reshape(*shift.shape[:-1], T, b)
        return self.with_tensors((self.blocks + torch.diag_embed(added), self.below))

    def _part(self, i: Tensor, j: Tensor) -> Tensor:
        return torch.full_like(i - j, BAND)

    def _widths(self) -> str:
        return f"blocks of {self.blocks.shape[-1]}"


def _check_blocks(diagonal: object, below: object, n: int | None) -> None:
    for name, part in (("diagonal", diagonal), ("below", below)):
        if not isinstance(part, Tensor) or part.dtype not in (torch.float32, torch.float64):
            came = part.dtype if isinstance(part, Tensor) else type(part).__name__
            raise TypeError(f"{name}: expected a float32 or float64 tensor, got {came}; convert it with .double()")
    assert isinstance(diagonal, Tensor)
    assert isinstance(below, Tensor)
    T, b = diagonal.shape[-3:-1] if diagonal.ndim >= 3 else (0, 0)
    fits = diagonal.shape[-1:] == (b,) and below.shape == (*diagonal.shape[:-3], T - 1, b, b)
    if not fits or min(T, b) == 0 or (below.dtype, below.device) != (diagonal.dtype, diagonal.device):
        raise ValueError(
            f"diagonal, below: expected shapes (..., T, b, b) and (..., T - 1, b, b) of one dtype and device, got "
            f"{tuple(diagonal.shape)}, {diagonal.dtype}, {diagonal.device} and {tuple(below.shape)}, {below.dtype}, "
            f"{below.device}"
        )
    if n is not None and not (T - 1) * b < n <= T * b:
        raise ValueError(f"n: expected {(T - 1) * b} < n <= {T * b} for {T} blocks of {b}, got {n}")
