"""Cholesky factorisation of a symmetric positive definite band, by LAPACK."""

from typing import Any

import numpy as np
import torch
from scipy.linalg.lapack import dpbtrf, dpbtrs, spbtrf, spbtrs
from torch import Tensor

from banded.checks import check_operand
from banded.factor.failures import not_finite, not_positive_definite, overflow

_FACTOR = {torch.float32: spbtrf, torch.float64: dpbtrf}
_SOLVE = {torch.float32: spbtrs, torch.float64: dpbtrs}


class Cholesky:
    """A = L Lᵀ, computed once, for as many solves as wanted.

    Laws: `solve(A @ x) == x`; `logdet() == A.to_dense().logdet()`.

    Args:
        band: lower band `(..., k + 1, n)`, `band[..., d, j] = A[..., j + d, j]`;
            cells with j + d >= n are never read. The matrices of a batch are
            factored one after the other.

    Raises:
        NotPositiveDefiniteError: with the row at which the factorisation stops.
        NonFiniteError: if an entry of the band is NaN or infinite.
    """

    def __init__(self, band: Tensor) -> None:
        # a copy where there is a graph: writing into the band later must not reach the derivatives
        self._band = band.clone() if band.requires_grad else band
        self._batch = band.shape[:-2]
        matrices = band.detach().reshape(-1, *band.shape[-2:])
        self._factors = [_factor(one, number, self._batch) for number, one in enumerate(matrices)]

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable with respect to A and b.

        Args:
            b: right-hand side `(..., n)` or right-hand sides `(..., n, m)`.

        Returns:
            x in the shape of `b`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        check_operand("b", b, self._band, torch.Size((*self._batch, self._band.shape[-1])))
        if torch.is_grad_enabled() and (self._band.requires_grad or b.requires_grad):
            x: Tensor = _Solve.apply(self._band, b, self)  # type: ignore[no-untyped-call]
            return x
        return self._substitute(b)

    def logdet(self) -> Tensor:
        """Log det A = 2 Σ log L_ii, `(...)`; not differentiable yet.

        Raises:
            ValueError: if A requires a gradient, which would be lost here.
        """
        if torch.is_grad_enabled() and self._band.requires_grad:
            raise ValueError("logdet: expected a matrix without gradient, got one that requires it; detach its band")
        logs = [2 * np.log(factor[0]).sum() for factor in self._factors]
        return torch.tensor(logs, dtype=self._band.dtype, device=self._band.device).reshape(self._batch)

    def _substitute(self, b: Tensor) -> Tensor:
        solve = _SOLVE[self._band.dtype]
        sides = b.detach().cpu().reshape(len(self._factors), *b.shape[len(self._batch) :]).numpy()
        parts = [solve(factor, side, lower=1)[0] for factor, side in zip(self._factors, sides, strict=True)]
        x = torch.from_numpy(parts[0] if len(parts) == 1 else np.array(parts, dtype=sides.dtype))
        return x.reshape(b.shape).to(self._band.device)


class _Solve(torch.autograd.Function):
    """x = A⁻¹ b; with w = A⁻¹ x̄: b̄ = w and Ā = -w xᵀ, kept on the band (Giles 2008, §2.3.1)."""

    @staticmethod
    def forward(ctx: Any, band: Tensor, b: Tensor, factor: Cholesky) -> Tensor:
        x = factor._substitute(b)
        ctx.save_for_backward(band, x)
        ctx.factor = factor
        return x

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor, None]:
        band, x = ctx.saved_tensors
        w = ctx.factor.solve(grads[0])
        return (_band_of_outer(-w, x, band) if ctx.needs_input_grad[0] else None), w, None


def _band_of_outer(w: Tensor, x: Tensor, band: Tensor) -> Tensor:
    """Lower band of w xᵀ + x wᵀ with the diagonal halved: each stored cell stands for both triangles."""
    rows, n = band.shape[-2:]
    if x.ndim < band.ndim:
        w, x = w[..., None], x[..., None]
    diagonals = [(w * x).sum(-1)]
    for d in range(1, rows):
        cell = (w[..., d:, :] * x[..., : n - d, :] + x[..., d:, :] * w[..., : n - d, :]).sum(-1)
        diagonals.append(torch.nn.functional.pad(cell, (0, d)))
    return torch.stack(diagonals, -2)


def _factor(band: Tensor, number: int, batch: torch.Size) -> np.ndarray:
    # LAPACK pb with uplo='L'; a transposed contiguous band is already in its order
    factor, info = _FACTOR[band.dtype](band.cpu().numpy(), lower=1)
    _check_finite(factor[0], info, band, number, batch)
    if info:
        raise not_positive_definite(info - 1, number, batch)
    whole: np.ndarray = factor
    return whole


def _check_finite(pivots: np.ndarray, info: int, band: Tensor, number: int, batch: torch.Size) -> None:
    """NaN or inf anywhere ends the factorisation or reaches a pivot: only then is the band searched."""
    if np.isfinite(pivots).all() and (not info or bool(torch.isfinite(band).all())):
        return
    n = band.shape[-1]
    for d, diagonal in enumerate(band.cpu()):
        bad = (~torch.isfinite(diagonal[: n - d])).nonzero()
        if len(bad):
            j = int(bad[0])
            raise not_finite(j + d, j, diagonal[j].item(), number, batch)
    if not info:
        raise overflow(number, batch)
