"""The linear system of a step, condensed to a positive definite band, and refined.

The conditions of optimality, linearised, are

    [ W   Jᵀ ] [dx]     [a]        W = H + Σ + δI,
    [ J  -C  ] [dλ]  =  [b]

where the unknowns y of single rows are eliminated: C = δ_c + Σ_y 1 / S_y, 0 for equalities. With a small ε in place
of a zero C, dλ goes the same way (Golub & Greif 2003, SIAM J. Sci. Comput. 24:2076-2092): K = W + Jᵀ C⁻¹ J is
positive definite just where the system has the inertia (n, m, 0) that makes the step one of descent, so that
Cholesky's failing is the test. What ε changes is undone by refinement against the system itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Factor
from banded.matrix import Symmetric
from banded.matrix.rows import Congruence, Rows
from banded.optimize.interior.form import Form

EPSILON = 1e-10  # of C beside |J|² / |W|, where C is zero
REFINEMENTS = 10
ENOUGH = 1e-13  # relative residual
WORTH = 0.5  # to which a refinement has to bring it, for another one
CONDITION = 1e6  # by which a solution may exceed its right-hand side, for the residual to be relative to it


@dataclass(eq=False)
class System:
    """The factored system of A problems.

    Attributes:
        form: of the problems.
        J: the Jacobian, its columns of fixed unknowns empty.
        H: the Hessian with its rows and columns of fixed unknowns empty.
        S: `(A, N)`: what is added to the diagonal, Σ + δ; 1 for fixed unknowns.
        compliance: `(A, m)`: δ_c.
        C: `(A, m)`: with the unknowns of single rows eliminated, and ε.
        K: the condensed matrices.
        factor: of K, where it is one and positive definite.
        good: `(A,)`, which of them are positive definite.
    """

    form: Form
    J: Rows
    H: Symmetric
    S: Tensor
    compliance: Tensor
    C: Tensor
    K: Symmetric
    factor: Factor | None
    good: Tensor

    @classmethod
    def condensed(
        cls, form: Form, H: Symmetric, J: Rows, S: Tensor, compliance: Tensor, congruence: Congruence, epsilon: Tensor
    ) -> System:
        """Condense and factor.

        Args:
            form: of the problems.
            H: the Hessian.
            J: the Jacobian.
            S: what is added to the diagonal.
            compliance: `(A,)`: δ_c.
            congruence: JᵀDJ in the storage of H.
            epsilon: `(A,)`.
        """
        n = form.n
        C = compliance[:, None].expand(-1, form.m)
        if form.blocks:
            C = C.clone()
            for block, one in form.parts(S):
                C[:, block.first : block.end] += 1 / one
        W = H.add_diagonal(S[:, :n])
        K = W
        compliance = compliance[:, None]
        if form.m:
            size = H.diagonal().abs().amax(1, keepdim=True)
            size = torch.where(size > 0, size, S[:, :n].mean(1, keepdim=True))
            C = torch.maximum(C, epsilon[:, None] * J.sizes() / size)
            C = torch.where(C > 0, C, 1)  # of rows without entries
            added = congruence(J.values, 1 / C)
            K = W.with_tensors(tuple(a + b for a, b in zip(W.tensors, added, strict=True)))
        factor, good = _factored(K)
        return cls(form, J, H, S, compliance, C, K, factor, good)

    def solve(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The step `(A, N)`, the change of λ `(A, m)`, and the relative residual `(A,)` that is left.

        Args:
            a: `(A, N)`, right-hand sides of the unknowns.
            b: `(A, m)`, of the equations.
        """
        v, multipliers = self._once(a, b)
        rest = self._residual(a, b, v, multipliers)
        least = self._error(rest, a, b, v, multipliers)
        best = v, multipliers
        for _ in range(REFINEMENTS):
            if bool((least <= ENOUGH).all()):
                break
            more = self._once(*rest)
            v, multipliers = best[0] + more[0], best[1] + more[1]
            rest = self._residual(a, b, v, multipliers)
            error = self._error(rest, a, b, v, multipliers)
            better = error < least
            going = bool((error < WORTH * least).any())
            if bool(better.all()):
                best, least = (v, multipliers), error
            else:
                best = _chosen(better, v, best[0]), _chosen(better, multipliers, best[1])
                least = torch.where(better, error, least)
                rest = self._residual(a, b, *best)
            if not going:
                break
        return *best, least

    def _error(self, rest: tuple[Tensor, Tensor], a: Tensor, b: Tensor, v: Tensor, multipliers: Tensor) -> Tensor:
        """`(A,)`: the residuals beside what they are of; those of the equations beside v alone, for λ may be huge."""
        size = _largest(a, b)
        most = CONDITION * size
        above = _largest(a) + torch.minimum(_largest(v, multipliers), most)
        error = _largest(rest[0]) / torch.where(above > 0, above, 1)
        if not self.form.m:
            return error
        below = _largest(b) + torch.minimum(_largest(v), most)
        return torch.maximum(error, _largest(rest[1]) / torch.where(below > 0, below, 1))

    def _once(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The solution with ε in C."""
        form, n = self.form, self.form.n
        moved = a[:, n:] / self.S[:, n:]
        b = b - form.add_rows(torch.zeros_like(b), torch.cat([a[:, :n], moved], 1))
        x = self._solve(a[:, :n] + self.J.transposed_times(b / self.C))
        multipliers = (self.J @ x - b) / self.C
        y = moved - form.transposed(multipliers) / self.S[:, n:]
        return torch.cat([x, y], 1), multipliers

    def _residual(self, a: Tensor, b: Tensor, v: Tensor, multipliers: Tensor) -> tuple[Tensor, Tensor]:
        """What the solution leaves of the right-hand sides, without ε."""
        form, n = self.form, self.form.n
        x = v[:, :n]
        above = self.H @ x + self.J.transposed_times(multipliers)
        pulled = torch.cat([above, form.transposed(multipliers)], 1) + self.S * v
        return a - pulled, b - form.add_rows(self.J @ x - self.compliance * multipliers, v)

    def _solve(self, b: Tensor) -> Tensor:
        if self.factor is not None:
            return self.factor.solve(b[0])[None]
        return self.K.solve_where_definite(b)[0]


def _factored(K: Symmetric) -> tuple[Factor | None, Tensor]:
    """The factor of a batch of one, where it is positive definite; and of each of a batch, whether it is."""
    count = K.batch_shape[0]
    if count == 1:
        try:
            one = K.with_tensors(tuple(part[0] for part in K.tensors)).cholesky()
        except (NotPositiveDefiniteError, NonFiniteError):
            return None, torch.zeros(1, dtype=torch.bool, device=K.device)
        return one, torch.ones(1, dtype=torch.bool, device=K.device)
    return None, K.solve_where_definite(torch.zeros(K.shape[:-1], dtype=K.dtype, device=K.device))[1]


def _chosen(which: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Problem by problem."""
    return torch.where(which[:, None], one, other)


def _largest(*vectors: Tensor) -> Tensor:
    """`(A,)`: the largest absolute entry of vectors `(A, n)`."""
    largest = [one.abs().amax(1) for one in vectors if one.shape[1]]
    return largest[0] if len(largest) == 1 else torch.maximum(*largest)
