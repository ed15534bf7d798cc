"""Cholesky factorisation of a bordered matrix, by the Schur complement of its core."""

import torch
from torch import Tensor

from banded.checks import check_operand
from banded.factor.failures import not_finite, not_positive_definite, overflow
from banded.factor.protocol import Factor


def mirrored(corner: Tensor) -> Tensor:
    """The symmetric matrix `(..., p, p)` with the lower triangle of `corner`; by lookups: tril wakes all threads."""
    i = torch.arange(corner.shape[-1], device=corner.device)
    return corner[..., torch.maximum(i[:, None], i), torch.minimum(i[:, None], i)]


class BorderedCholesky:
    """A = [[B, Eᵀ], [E, C]] with B factored and S = C - E B⁻¹ Eᵀ = L Lᵀ dense (Golub & Van Loan 2013, §4.2.4).

    A is positive definite just when B and S are.

    Args:
        core: the factor of B, of n - p unknowns.
        border: E `(..., p, n - p)`.
        corner: C `(..., p, p)`; only its lower triangle is read.

    Raises:
        NotPositiveDefiniteError: with the row of A at which S ceases to be.
        NonFiniteError: if an entry of the border or the corner is NaN or infinite.
    """

    def __init__(self, core: Factor, border: Tensor, corner: Tensor) -> None:
        # a copy: writing into the border later must not reach the solutions
        self._core, self._border = core, border.clone()
        self._inverse = core.solve(border.mT.contiguous())  # B⁻¹ Eᵀ, (..., n - p, p)
        # both triangles, which the derivative of LAPACK's factor takes for granted
        schur = mirrored(corner - border @ self._inverse)
        _check_finite(schur, border, corner)
        self._factor, info = torch.linalg.cholesky_ex(schur)
        failed = info.reshape(-1).nonzero()
        if len(failed):
            number = int(failed[0])
            row = border.shape[-1] + int(info.reshape(-1)[number]) - 1
            raise not_positive_definite(row, number, info.shape)

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        p, m = self._border.shape[-2:]
        check_operand("b", b, self._border, torch.Size((*self._border.shape[:-2], m + p)))
        vector = b.ndim == self._border.ndim - 1
        if vector:
            b = b[..., None]
        y = self._core.solve(b[..., :m, :])
        tail = torch.cholesky_solve(b[..., m:, :] - self._border @ y, self._factor)
        x = torch.cat([y - self._inverse @ tail, tail], -2)
        return x[..., 0] if vector else x

    def logdet(self) -> Tensor:
        """Log det A = log det B + log det S, `(...)`; differentiable in border and corner, not in the core yet.

        Raises:
            ValueError: if the core requires a gradient, which would be lost here.
        """
        of_schur: Tensor = 2 * self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self._core.logdet() + of_schur


def _check_finite(schur: Tensor, border: Tensor, corner: Tensor) -> None:
    """NaN or inf anywhere in the last rows of A reaches the Schur complement: only then are they searched."""
    if bool(torch.isfinite(schur).all()):
        return
    p, m = border.shape[-2:]
    rows = torch.cat([border, corner.tril()], -1).reshape(-1, p, m + p)
    bad = (~torch.isfinite(rows)).nonzero()
    if len(bad):
        number, row, column = bad[0].tolist()
        raise not_finite(m + row, column, rows[number, row, column].item(), number, border.shape[:-2])
    number = int((~torch.isfinite(schur.reshape(-1, p, p))).nonzero()[0, 0])
    raise overflow(number, border.shape[:-2])
