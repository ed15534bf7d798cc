"""Cholesky factorisation of a symmetric positive definite band, by LAPACK."""

from typing import Any

import numpy as np
import torch
from scipy.linalg.lapack import dpbtrf, dpbtrs, spbtrf, spbtrs
from torch import Tensor

from banded.errors import NonFiniteError, NotPositiveDefiniteError

_FACTOR = {torch.float32: spbtrf, torch.float64: dpbtrf}
_SOLVE = {torch.float32: spbtrs, torch.float64: dpbtrs}


class Cholesky:
    """A = L Lᵀ, computed once, for as many solves as wanted.

    Laws: `solve(A @ x) == x`; `logdet() == A.to_dense().logdet()`.

    Args:
        band: lower band `(k + 1, n)`, `band[d, j] = A[j + d, j]`; cells with
            j + d >= n are never read.

    Raises:
        NotPositiveDefiniteError: with the row at which the factorisation stops.
        NonFiniteError: if an entry of the band is NaN or infinite.
    """

    def __init__(self, band: Tensor) -> None:
        # a copy where there is a graph: writing into the band later must not reach the derivatives
        self._band = band.clone() if band.requires_grad else band
        # LAPACK pb with uplo='L'; a transposed contiguous band is already in its order
        factor, info = _FACTOR[band.dtype](band.detach().cpu().numpy(), lower=1)
        _check_finite(factor[0], info, band)
        if info:
            raise NotPositiveDefiniteError(
                f"expected a positive definite matrix, got one whose leading minor of order {info} is not "
                f"(row {info - 1} of {band.shape[-1]}); add_diagonal(...) with a positive number regularises it",
                row=info - 1,
            )
        self._factor = factor

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable with respect to A and b.

        Args:
            b: right-hand side `(n,)` or right-hand sides `(n, m)`.

        Returns:
            x in the shape of `b`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        check_operand("b", b, self._band)
        if torch.is_grad_enabled() and (self._band.requires_grad or b.requires_grad):
            x: Tensor = _Solve.apply(self._band, b, self)  # type: ignore[no-untyped-call]
            return x
        return self._substitute(b)

    def logdet(self) -> Tensor:
        """Log det A = 2 Σ log L_ii, a scalar; not differentiable yet.

        Raises:
            ValueError: if A requires a gradient, which would be lost here.
        """
        if torch.is_grad_enabled() and self._band.requires_grad:
            raise ValueError("logdet: expected a matrix without gradient, got one that requires it; detach its band")
        diagonal = torch.from_numpy(np.ascontiguousarray(self._factor[0]))
        return 2 * diagonal.log().sum().to(self._band.device)

    def _substitute(self, b: Tensor) -> Tensor:
        x, _ = _SOLVE[self._band.dtype](self._factor, b.detach().cpu().numpy(), lower=1)
        return torch.from_numpy(x).to(self._band.device)


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
        return (_band_of_outer(-w, x, len(band)) if ctx.needs_input_grad[0] else None), w, None


def _band_of_outer(w: Tensor, x: Tensor, rows: int) -> Tensor:
    """Lower band of w xᵀ + x wᵀ with the diagonal halved: each stored cell stands for both triangles."""
    n = len(x)
    w, x = w.reshape(n, -1), x.reshape(n, -1)
    diagonals = [(w * x).sum(1)]
    for d in range(1, rows):
        cell = (w[d:] * x[: n - d] + x[d:] * w[: n - d]).sum(1)
        diagonals.append(torch.nn.functional.pad(cell, (0, d)))
    return torch.stack(diagonals)


def check_operand(name: str, b: object, band: Tensor) -> None:
    """`b` must be `(n,)` or `(n, m)` with the dtype and device of `band`."""
    n = band.shape[-1]
    if not isinstance(b, Tensor):
        raise TypeError(f"{name}: expected a tensor of shape ({n},) or ({n}, m), got {type(b).__name__}")
    if b.ndim not in (1, 2) or b.shape[0] != n:
        hint = f"; pass {name}.reshape(-1)" if b.numel() == n else ""
        raise ValueError(f"{name}: expected shape ({n},) or ({n}, m), got {tuple(b.shape)}{hint}")
    if b.dtype != band.dtype or b.device != band.device:
        raise ValueError(
            f"{name}: expected {band.dtype} on {band.device} like the matrix, got {b.dtype} on {b.device}; "
            f"convert it with {name}.to(...)"
        )


def _check_finite(pivots: np.ndarray, info: int, band: Tensor) -> None:
    """NaN or inf anywhere ends the factorisation or reaches a pivot: only then is the band searched."""
    if np.isfinite(pivots).all() and (not info or bool(torch.isfinite(band).all())):
        return
    n = band.shape[-1]
    for d, diagonal in enumerate(band.detach().cpu()):
        bad = (~torch.isfinite(diagonal[: n - d])).nonzero()
        if len(bad):
            j = int(bad[0])
            raise NonFiniteError(f"expected finite entries, got A[{j + d}, {j}] = {diagonal[j].item()}")
    if not info:
        raise NonFiniteError("expected pivots that fit the floating-point range, got an overflow; scale the matrix")
