"""Factorisations of a bordered matrix, by the Schur complement of its core."""

import torch
from torch import Tensor

from banded.checks import check_operand, concrete
from banded.errors import SingularError
from banded.factor import derivatives
from banded.factor.failures import lost_in_core, not_finite, not_positive_definite, overflow, singular
from banded.factor.protocol import Factor, IndefiniteFactor, Inertia


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
        schur = mirrored(corner - self._border @ self._inverse)
        _check_finite(schur, border, corner)
        self._factor, info = torch.linalg.cholesky_ex(schur)
        info = concrete(info)
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
        """Log det A = log det B + log det S, `(...)`; differentiable."""
        of_schur: Tensor = 2 * self._factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self._core.logdet() + of_schur

    def inverse(self) -> tuple[Tensor, Tensor]:
        """What the border adds to the inverse: V = B⁻¹ Eᵀ `(..., n - p, p)` and S⁻¹ `(..., p, p)`.

        The blocks of A⁻¹ are B⁻¹ + V S⁻¹ Vᵀ, -S⁻¹ Vᵀ and S⁻¹.
        """
        eye = torch.eye(self._factor.shape[-1], dtype=self._factor.dtype, device=self._factor.device)
        # not cholesky_inverse, whose forward derivative is wrong (pytorch #196682)
        return self._inverse, torch.cholesky_solve(eye.expand_as(self._factor), self._factor)

    def sample(self, shape: tuple[int, ...] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from N(0, A⁻¹), `(*shape, ..., n)`; without a graph.

        The border is N(0, S⁻¹), and given it the core N(-V x, B⁻¹).
        """
        M, V = self._factor.detach(), self._inverse.detach()
        z = torch.randn(*shape, *M.shape[:-1], generator=generator, dtype=M.dtype, device=M.device)
        tail = torch.linalg.solve_triangular(M.mT, z[..., None], upper=True)
        head = self._core.sample(shape, generator=generator) - (V @ tail)[..., 0]
        return torch.cat([head, tail[..., 0]], -1)


class BorderedLDL:
    """A = [[B, Eᵀ], [E, C]], symmetric, with B factored and S = C - E B⁻¹ Eᵀ dense.

    The inertia of A is that of B and that of S together (Haynsworth 1968). The nearer B is to a singular
    matrix, the more digits are lost, up to half of them; `A.solve_refined(b, A.ldl())` wins them back.

    Args:
        core: the factor of B, of n - p unknowns.
        border: E `(..., p, n - p)`.
        corner: C `(..., p, p)`; only its lower triangle is read.

    Raises:
        SingularError: if B is singular, or so near to it that S would lose half of the digits, whatever A is.
        NonFiniteError: if an entry of the border or the corner is NaN or infinite.
    """

    def __init__(self, core: IndefiniteFactor, border: Tensor, corner: Tensor) -> None:
        # copies, as above
        self._core, self._border = core, border.clone()
        try:
            self._inverse = core.solve(border.mT.contiguous())
        except SingularError as error:
            raise lost_in_core(error.row, error.number, border.shape[:-2]) from error
        self._schur = mirrored(corner - self._border @ self._inverse)
        _check_finite(self._schur, border, corner)
        self._eigenvalues = torch.linalg.eigvalsh(self._schur.detach())
        size = mirrored(corner).detach().abs() + (border.abs() @ self._inverse.abs()).detach()
        rounding = 10 * border.shape[-1] ** 0.5 * torch.finfo(border.dtype).eps
        self._tiny = rounding * size.sum(-1).amax(-1, keepdim=True)
        most = torch.maximum(border.detach().abs().amax((-2, -1)), mirrored(corner).detach().abs().amax((-2, -1)))
        lost = concrete(size.amax((-2, -1)) > most / torch.finfo(border.dtype).eps ** 0.5).reshape(-1).nonzero()
        if len(lost):
            raise lost_in_core(border.shape[-1] - 1, int(lost[0]), border.shape[:-2])

    @property
    def inertia(self) -> Inertia:
        """How many eigenvalues are positive, negative and zero."""
        values, tiny = self._eigenvalues, self._tiny
        counts = ((values > tiny).sum(-1), (values < -tiny).sum(-1), (values.abs() <= tiny).sum(-1))
        both = [a + b for a, b in zip(self._core.inertia, counts, strict=True)]
        return (
            Inertia(*both)
            if values.ndim > 1 or concrete(values) is not values
            else Inertia(*(int(one) for one in both))
        )

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            SingularError: if an eigenvalue of A is zero.
            ValueError: if `b` has another length, dtype or device than A.
        """
        p, m = self._border.shape[-2:]
        check_operand("b", b, self._border, torch.Size((*self._border.shape[:-2], m + p)))
        zero = concrete((self._eigenvalues.abs() <= self._tiny).any(-1)).reshape(-1).nonzero()
        if len(zero):
            raise singular(m, int(zero[0]), self._border.shape[:-2])
        vector = b.ndim == self._border.ndim - 1
        if vector:
            b = b[..., None]
        y = self._core.solve(b[..., :m, :])
        # linalg.solve drops terms of its forward derivative (pytorch #192540), lu_solve is wrong in nested vmaps
        tail: Tensor = torch.linalg.inv(self._schur) @ (b[..., m:, :] - self._border @ y)
        x = torch.cat([y - self._inverse @ tail, tail], -2)
        return x[..., 0] if vector else x

    def slogdet(self) -> tuple[Tensor, Tensor]:
        """Sign and logarithm of the absolute value of det A, `(...)` each.

        Raises:
            NotImplementedError: if A has a graph: this has no derivative.
        """
        derivatives.refuse_graph("slogdet", self._schur)
        sign, size = self._core.slogdet()
        values = torch.where(self._eigenvalues.abs() <= self._tiny, 0, self._eigenvalues)
        return sign * values.sign().prod(-1), size + values.abs().log().sum(-1)


def _check_finite(schur: Tensor, border: Tensor, corner: Tensor) -> None:
    """NaN or inf anywhere in the last rows of A reaches the Schur complement: only then are they searched."""
    schur, border, corner = concrete(schur), concrete(border), concrete(corner)
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
