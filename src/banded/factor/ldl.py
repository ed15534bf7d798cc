"""LDLᵀ factorisation of a symmetric band that may be indefinite, with its inertia."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from banded import bands
from banded.factor import derivatives
from banded.factor.failures import not_finite, overflow, singular
from banded.factor.protocol import Inertia
from banded.factor.threads import over_batch

THRESHOLD = 0.1  # of a pivot in its column; smaller is faster, and loses digits: 0.01 some three of them
HUGE = 1e-4  # of the largest number there is
FIELDS = 8  # of the records, see `ldl_kernels`


class LDL:
    """P A Pᵀ = L D Lᵀ with D of blocks of one and two, computed once for as many solves as wanted.

    Stable for every symmetric band, in linear time: pivots that are too small wait in a small dense
    front until the rows that they couple to have come (Duff & Reid 1983). The signs of D are those of
    the eigenvalues of A (Sylvester); an eigenvalue counts as zero where rounding errors could make it so.

    Laws: `solve(A @ x) == x`; `inertia` counts the signs of `A.to_dense().eigvalsh()`.

    Args:
        band: lower band `(..., k + 1, n)`, `band[..., d, j] = A[..., j + d, j]`;
            cells with j + d >= n are never read.

    Raises:
        NonFiniteError: if an entry of the band is NaN or infinite.
    """

    def __init__(self, band: Tensor) -> None:
        # a copy where there is a graph: writing into the band later must not reach the derivatives
        self._band = band.clone() if band.requires_grad else band
        self._factors = derivatives.factors_of(_Method(band.shape[-2]), self._band)

    @property
    def inertia(self) -> Inertia:
        """How many eigenvalues are positive, negative and zero."""
        counts = self._factors[-1][..., :3]
        if counts.ndim > 1 or torch._C._functorch.is_functorch_wrapped_tensor(counts):
            return Inertia(*counts.unbind(-1))
        return Inertia(*counts.tolist())

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable with respect to A and b; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            SingularError: if an eigenvalue of A is zero.
            ValueError: if `b` has another length, dtype or device than A.
        """
        return derivatives.solve_either(_Method(self._band.shape[-2]), self._band, self._factors, b)

    def slogdet(self) -> tuple[Tensor, Tensor]:
        """Sign and logarithm of the absolute value of det A, `(...)` each, as `torch.linalg.slogdet`.

        Raises:
            NotImplementedError: if A has a graph: this has no derivative.
        """
        derivatives.refuse_graph("slogdet", self._band)
        L, order, kind, *_, info = self._factors
        from banded.factor.ldl_kernels import BMATE, BPAIR, MATE, PAIR  # numba takes half a second to load

        order = order.long()
        diagonal = L[..., 0].gather(-1, order)
        first = (kind == BPAIR) | (kind == PAIR)
        second = (kind == BMATE) | (kind == MATE)
        beside = L[..., min(1, L.shape[-1] - 1)].gather(-1, order)
        following = diagonal.roll(-1, -1)
        # of a pair, scaled by its off-diagonal, which is the largest
        ratio = (diagonal / beside) * (following / beside) - 1
        size = torch.where(first, 2 * beside.abs().log() + ratio.abs().log(), diagonal.abs().log())
        size = torch.where(second, 0, size).sum(-1)
        odd = info[..., 1] % 2 == 1
        sign = torch.where(info[..., 2] > 0, 0, torch.where(odd, -1, 1)).to(L.dtype)
        return sign, torch.where(info[..., 2] > 0, -torch.inf, size)


@dataclass(frozen=True)
class _Method:
    """What `derivatives` needs to know, of bands with so many rows."""

    rows: int

    def factor(self, band: Tensor) -> derivatives.Factors:
        columns = band.mT.cpu().contiguous()
        batch, (n, rows) = band.shape[:-2], columns.shape[-2:]
        _check_finite(columns.reshape(-1, n, rows), batch)
        records = _eliminate(columns.numpy().reshape(-1, n, rows))
        lost = np.flatnonzero(~np.isfinite(records[0][:, :, 0]).all(1) | _is_doubtful(records[-1], columns))
        if len(lost):
            raise overflow(int(lost[0]), batch)
        return tuple(torch.from_numpy(one).reshape(*batch, *one.shape[1:]).to(band.device) for one in records)

    def substitute(self, factors: derivatives.Factors, b: Tensor, transposed: bool) -> Tensor:
        from banded.factor import ldl_kernels, ldl_solve  # as above

        batch = b.shape[:-2]
        parts = [one.cpu().contiguous().numpy().reshape(batch.numel(), *one.shape[len(batch) :]) for one in factors]
        *parts, info = parts
        zero = np.flatnonzero(info[:, ldl_kernels.ZERO])
        if len(zero):
            raise singular(int(info[zero[0], ldl_kernels.FIRST]), int(zero[0]), batch)
        x = b.detach().cpu().contiguous().numpy().reshape(len(info), *b.shape[-2:]).copy()
        over_batch(ldl_solve.solve, *parts, x)
        if not np.isfinite(x).all() and bool(b.isfinite().all()):
            raise overflow(int(np.flatnonzero(~np.isfinite(x).all((1, 2)))[0]), batch)
        return torch.from_numpy(x.reshape(b.shape)).to(b.device)

    def times(self, band: Tensor, x: Tensor, transposed: bool) -> Tensor:
        return bands.symmetric_times(band, x)

    def outer(self, w: Tensor, x: Tensor, transposed: bool) -> Tensor:
        return bands.symmetric_outer(w, x, self.rows)


def _eliminate(columns: np.ndarray) -> tuple[np.ndarray, ...]:
    """Factor a batch `(B, n, k + 1)`: L and the records that go with it, as in `ldl_kernels`."""
    from banded.factor import ldl_kernels  # as above

    B, n, rows = columns.shape
    eps = np.finfo(columns.dtype).eps
    # u; what is a zero beside all that was added to it; how many variables may wait (never seen to be reached)
    each = np.array([THRESHOLD, 4 * rows * eps, 2 * rows + 2], dtype=columns.dtype)
    thresholds = np.tile(each, (B, 1))
    room = n * rows
    while True:
        L = columns.copy()
        order, kind = np.empty((B, n), np.int32), np.empty((B, n), np.int8)
        start, info = np.empty((B, n + 1), np.int64), np.empty((B, FIELDS), np.int64)
        multipliers, values = np.empty((B, room), np.int32), np.empty((B, room), L.dtype)
        over_batch(ldl_kernels.factor, L, thresholds, order, kind, start, multipliers, values, info)
        need = int(info[:, ldl_kernels.USED].max(initial=0))
        if need <= room:
            return L, order, kind, start, multipliers[:, :need].copy(), values[:, :need].copy(), info
        room = need


def _is_doubtful(info: np.ndarray, columns: Tensor) -> np.ndarray:
    """`(B,)`: whether a zero eigenvalue may be none, because what it is small beside has overflowed."""
    doubtful: np.ndarray = info[:, 2] > 0
    for number in np.flatnonzero(doubtful):
        one = columns.reshape(-1, *columns.shape[-2:])[number]
        inside = bands.inside_symmetric(one.shape[1], one.shape[0], one.device).mT
        doubtful[number] = bool(one[inside].abs().max() > HUGE * torch.finfo(one.dtype).max)
    return doubtful


def _check_finite(columns: Tensor, batch: torch.Size) -> None:
    n, rows = columns.shape[-2:]
    inside = bands.inside_symmetric(rows, n, columns.device).mT
    bad = (~torch.isfinite(columns) & inside).nonzero()
    if len(bad):
        number, j, d = bad[0].tolist()
        raise not_finite(j + d, j, columns[number, j, d].item(), number, batch)
