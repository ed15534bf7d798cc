"""Cholesky factorisation of a symmetric positive definite band."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg.lapack import dpbtrf, dpbtrs, spbtrf, spbtrs
from torch import Tensor

from banded import bands
from banded.factor import derivatives, inverse
from banded.factor.failures import not_finite, not_positive_definite, overflow
from banded.factor.threads import over_batch

_FACTOR = {torch.float32: spbtrf, torch.float64: dpbtrf}
_SOLVE = {torch.float32: spbtrs, torch.float64: dpbtrs}

LARGE = 2**15  # cells of one matrix, from which our kernels gain more on LAPACK's than loading them costs
WIDE = 64  # half-bandwidth, from which LAPACK's blocks win


class Cholesky:
    """A = L Lᵀ, computed once, for as many solves as wanted.

    Laws: `solve(A @ x) == x`; `logdet() == A.to_dense().logdet()`;
    `selected_inverse()` is the band of `A.to_dense().inverse()`.

    Small and very wide matrices are LAPACK's; large ones and batches go to compiled
    kernels, a batch on as many threads as PyTorch uses.

    Args:
        band: lower band `(..., k + 1, n)`, `band[..., d, j] = A[..., j + d, j]`;
            cells with j + d >= n are never read.

    Raises:
        NotPositiveDefiniteError: with the row at which the factorisation stops.
        NonFiniteError: if an entry of the band is NaN or infinite.
    """

    def __init__(self, band: Tensor) -> None:
        # a copy where there is a graph: writing into the band later must not reach the derivatives
        self._band = band.clone() if band.requires_grad else band
        self._factors = derivatives.factors_of(_Method(band.shape[-2]), self._band)

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable with respect to A and b.

        Args:
            b: right-hand side `(..., n)` or right-hand sides `(..., n, m)`.

        Returns:
            x in the shape of `b`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        return derivatives.solve_either(_Method(self._band.shape[-2]), self._band, self._factors, b)

    def logdet(self) -> Tensor:
        """Log det A = 2 Σ log L_ii, `(...)`; differentiable twice."""
        return inverse.logdet(self._band, self._factors[0])

    def selected_inverse(self) -> Tensor:
        """The band of A⁻¹ as a tensor `(..., k + 1, n)`, zero outside the matrix; differentiable once.

        Where A is the precision of a Gaussian chain, these are its variances and the
        covariances of unknowns up to k apart: the first row, and those below.
        """
        return inverse.inverse_band(self._band, self._factors[0])

    def sample(self, shape: tuple[int, ...] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from N(0, A⁻¹), `(*shape, ..., n)`: L⁻ᵀ z for independent normal z; without a graph."""
        from banded.factor import cholesky_kernels  # numba takes half a second to load

        (L,) = self._factors
        derivatives.refuse_transforms("sample", L)
        batch, n = L.shape[:-2], L.shape[-2]
        count = int(np.prod(shape, dtype=int))
        z = torch.randn(*batch, n, count, generator=generator, dtype=L.dtype, device=L.device)
        x = _on_columns(cholesky_kernels.backward, L, z)
        return x.movedim(-1, 0).reshape(*shape, *batch, n)


@dataclass(frozen=True)
class _Method:
    """What `derivatives` needs to know, of bands with so many rows."""

    rows: int

    def factor(self, band: Tensor) -> derivatives.Factors:
        columns = band.detach().mT.cpu().reshape(-1, *band.mT.shape[-2:])
        if _is_lapacks(columns):
            # LAPACK pb with uplo='L': columns are in its order already
            L, number = _FACTOR[band.dtype](columns[0].mT.numpy(), lower=1)
            whole, info = L.T[None], np.array([number])
        else:
            whole, info = _factored(columns)
        _check(whole, info, columns, band.shape[:-2])
        return (torch.from_numpy(whole.reshape(band.mT.shape)).to(band.device),)

    def substitute(self, factors: derivatives.Factors, b: Tensor, transposed: bool) -> Tensor:
        (L,) = factors
        if _is_lapacks(L):
            one = L.cpu().reshape(L.shape[-2:]).mT.numpy()
            x, _ = _SOLVE[L.dtype](one, b.cpu().reshape(b.shape[-2:]).numpy(), lower=1)
            return torch.from_numpy(x.reshape(b.shape)).to(b.device)
        from banded.factor import cholesky_kernels  # as above

        return _on_columns(cholesky_kernels.solve, L, b)

    def times(self, band: Tensor, x: Tensor, transposed: bool) -> Tensor:
        return bands.symmetric_times(band, x)

    def outer(self, w: Tensor, x: Tensor, transposed: bool) -> Tensor:
        return bands.symmetric_outer(w, x, self.rows)


def _is_lapacks(columns: Tensor) -> bool:
    """Whether a batch `(..., n, k + 1)` is one matrix that is small or wide."""
    n, rows = columns.shape[-2:]
    return columns.numel() == n * rows and (n * rows < LARGE or rows > WIDE)


def _factored(columns: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Factors of a batch `(B, n, k + 1)` by our kernels, and what they tell."""
    from banded.factor import cholesky_kernels  # as above

    source, as_bands = _in_order(columns)
    L, info = np.empty(columns.shape, source.dtype), np.zeros(len(columns), dtype=np.int64)
    over_batch(cholesky_kernels.factor_bands if as_bands else cholesky_kernels.factor, source, L, info)
    return L, info


def solve_each(band: Tensor, b: Tensor) -> tuple[Tensor, Tensor] | None:
    """X with A x = b `(..., n, c)` for each of a batch, and `(...)`, which are good: nothing is raised, nothing kept.

    Not good are those whose matrix is not positive definite or not finite. Of many, each factor stays in the
    cache. None for graphs and transformations, and other devices, where this is no way.
    """
    if band.device.type != "cpu" or derivatives.is_recorded(band, b):
        return None
    columns = band.mT.reshape(-1, *band.mT.shape[-2:])
    sides = b.contiguous().numpy().reshape(len(columns), *b.shape[-2:])
    if _is_lapacks(columns):
        L, failed = _FACTOR[band.dtype](columns[0].mT.numpy(), lower=1)
        found = sides[0] if failed else _SOLVE[band.dtype](L, sides[0], lower=1)[0]
        x, info = found[None], np.array([failed])
    else:
        from banded.factor import cholesky_kernels, cholesky_lanes  # as above

        x, info = np.empty_like(sides), np.zeros(len(columns), dtype=np.int64)
        if cholesky_lanes.fits(*columns.mT.shape):
            over_batch(cholesky_lanes.solve, columns.mT.numpy(), sides, x, info)
        else:
            over_batch(cholesky_kernels.solve_at_once, columns.contiguous().numpy(), sides, x, info)
    good = (info == 0) & np.isfinite(x).all((1, 2))
    good &= np.isfinite(columns[:, :, 0].numpy()).all(1)  # which an infinite pivot hides: x is 0 there
    return torch.from_numpy(x.reshape(b.shape)), torch.from_numpy(good.reshape(b.shape[:-2]))


def _in_order(columns: Tensor) -> tuple[np.ndarray, bool]:
    """A batch `(B, n, k + 1)` as it lies in memory, and whether that is `(B, k + 1, n)`."""
    as_bands = columns.mT.is_contiguous() and not columns.is_contiguous()
    return (columns.mT if as_bands else columns.contiguous()).numpy(), as_bands


def _on_columns(kernel: Callable[..., None], L: Tensor, b: Tensor) -> Tensor:
    """A substitution for right-hand sides `(..., n, c)`."""
    factors = L.cpu().contiguous().numpy().reshape(-1, *L.shape[-2:])
    sides = b.detach().cpu().contiguous().numpy().reshape(len(factors), *b.shape[-2:])
    x = np.empty_like(sides)
    over_batch(kernel, factors, sides, x)
    return torch.from_numpy(x.reshape(b.shape)).to(b.device)


def _check(L: np.ndarray, info: np.ndarray, columns: Tensor, batch: torch.Size) -> None:
    """NaN or inf anywhere ends the factorisation or reaches a pivot: only then is the band searched."""
    amiss = np.flatnonzero((info != 0) | ~np.isfinite(L[:, :, 0]).all(1))
    if not len(amiss):
        return
    number = int(amiss[0])
    n = columns.shape[-2]
    for d, diagonal in enumerate(columns[number].mT):
        bad = (~torch.isfinite(diagonal[: n - d])).nonzero()
        if len(bad):
            j = int(bad[0])
            raise not_finite(j + d, j, diagonal[j].item(), number, batch)
    if info[number]:
        raise not_positive_definite(int(info[number]) - 1, number, batch)
    raise overflow(number, batch)
