"""LU factorisation with row interchanges of a square band, by LAPACK."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg.lapack import dgbtrf, dgbtrs, sgbtrf, sgbtrs
from torch import Tensor

from banded import bands
from banded.factor import derivatives
from banded.factor.failures import not_finite, overflow, singular

_FACTOR = {torch.float32: sgbtrf, torch.float64: dgbtrf}
_SOLVE = {torch.float32: sgbtrs, torch.float64: dgbtrs}


class LU:
    """P A = L U with partial pivoting, computed once for as many solves as wanted.

    Laws: `solve(A @ x) == x`; `solve(A.mT @ x, transposed=True) == x`.

    Args:
        band: general band `(..., lower + upper + 1, n)` of a square matrix,
            `band[..., upper + i - j, j] = A[..., i, j]`; cells outside are never read.
        lower: width below the diagonal.
        upper: width above it.

    Raises:
        NonFiniteError: if an entry of the band is NaN or infinite.
        SingularError: if a pivot is exactly zero.
    """

    def __init__(self, band: Tensor, lower: int, upper: int) -> None:
        # a copy where there is a graph: writing into the band later must not reach the derivatives
        self._band = band.clone() if band.requires_grad else band
        self._method = _Method(lower, upper)
        self._factors = derivatives.factors_of(self._method, self._band)

    def solve(self, b: Tensor, *, transposed: bool = False) -> Tensor:
        """X with A x = b, or Aᵀ x = b, differentiable; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        return derivatives.solve_either(self._method, self._band, self._factors, b, transposed=transposed)

    def slogdet(self) -> tuple[Tensor, Tensor]:
        """Sign and logarithm of the absolute value of det A, `(...)` each, as `torch.linalg.slogdet`.

        Raises:
            NotImplementedError: if A has a graph: this has no derivative.
        """
        derivatives.refuse_graph("slogdet", self._band)
        factors, interchanges = self._factors
        pivots = factors[..., self._method.lower + self._method.upper]
        moved = (interchanges != torch.arange(pivots.shape[-1], device=pivots.device)).sum(-1)
        sign = pivots.sign().prod(-1) * (1 - 2 * (moved % 2)).to(pivots.dtype)
        return sign, pivots.abs().log().sum(-1)


@dataclass(frozen=True)
class _Method:
    """What `derivatives` needs to know."""

    lower: int
    upper: int

    def factor(self, band: Tensor) -> derivatives.Factors:
        batch, n, rows = band.shape[:-2], band.shape[-1], band.shape[-2]
        columns = band.detach().mT.cpu().reshape(-1, n, rows).numpy()
        # LAPACK gb wants room for `lower` more diagonals above
        factors = np.zeros((len(columns), n, rows + self.lower), columns.dtype)
        interchanges = np.empty((len(columns), n), np.int32)
        for number, (one, lu) in enumerate(zip(columns, factors, strict=True)):
            lu[:, self.lower :] = one
            _, interchanges[number], info = _FACTOR[band.dtype](lu.T, self.lower, self.upper, overwrite_ab=1)
            if info or not np.isfinite(lu.sum()):
                self._explain(one, lu, info, number, batch)
        made = (factors.reshape(*batch, *factors.shape[1:]), interchanges.reshape(*batch, n))
        return tuple(torch.from_numpy(part).to(band.device) for part in made)

    def _explain(self, columns: np.ndarray, lu: np.ndarray, info: int, number: int, batch: torch.Size) -> None:
        """Raise what is amiss; nothing is where only cells outside are not finite, or the sum of all overflows."""
        for j, row in np.argwhere(~np.isfinite(columns)).tolist():
            if 0 <= (i := row - self.upper + j) < len(columns):
                raise not_finite(i, j, columns[j, row].item(), number, batch)
        if info:
            raise singular(info - 1, number, batch)
        for j, row in np.argwhere(~np.isfinite(lu)).tolist():
            if 0 <= row - self.lower - self.upper + j < len(columns):
                raise overflow(number, batch)

    def substitute(self, factors: derivatives.Factors, b: Tensor, transposed: bool) -> Tensor:
        lu, interchanges = (one.cpu().reshape(-1, *one.shape[b.ndim - 2 :]) for one in factors)
        sides = b.detach().cpu().reshape(len(lu), *b.shape[-2:]).numpy()
        solve = _SOLVE[b.dtype]
        parts = [
            solve(one.numpy().T, self.lower, self.upper, side, which.numpy(), trans=int(transposed))[0]
            for one, which, side in zip(lu, interchanges, sides, strict=True)
        ]
        x = parts[0] if len(parts) == 1 else np.array(parts, dtype=sides.dtype)
        return torch.from_numpy(x.reshape(b.shape)).to(b.device)

    def times(self, band: Tensor, x: Tensor, transposed: bool) -> Tensor:
        n = band.shape[-1]
        if transposed:
            return bands.general_times(bands.transpose(band, self.upper, n), self.lower, n, x)
        return bands.general_times(band, self.upper, n, x)

    def outer(self, w: Tensor, x: Tensor, transposed: bool) -> Tensor:
        left, right = (x, w) if transposed else (w, x)
        return bands.general_outer(left, right, self.lower, self.upper)
