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

import copy
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from banded.errors import NonFiniteError, NotPositiveDefiniteError
from banded.factor import Factor
from banded.matrix import Symmetric
from banded.matrix.rows import Congruence, Rows
from banded.optimize.interior.batched import taken
from banded.optimize.interior.form import Form

EPSILON = 1e-10  # of C beside |J|² / |W|, where C is zero
REFINEMENTS = 10
ENOUGH = 1e-13  # relative residual
WORTH = 0.5  # to which a refinement has to bring it, for another one
CONDITION = 1e6  # by which a solution may exceed its right-hand side, for the residual to be relative to it


class System(Protocol):
    """The factored system of A problems.

    Attributes:
        good: `(A,)`, which of them are positive definite.
    """

    good: Tensor

    def solve(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The step `(A, N)`, the change of λ `(A, m)`, and the relative residual `(A,)` that is left.

        Args:
            a: `(A, N)`, right-hand sides of the unknowns.
            b: `(A, m)`, of the equations.
        """
        ...

    def take(self, rows: Tensor) -> System:
        """That of some of the problems."""
        ...


def condensed(
    form: Form, H: Symmetric, J: Rows, S: Tensor, compliance: Tensor, congruence: Congruence, epsilon: Tensor
) -> System:
    """Condense and factor.

    Args:
        form: of the problems.
        H: the Hessian, its rows and columns of fixed unknowns empty.
        J: the Jacobian, its columns of fixed unknowns empty.
        S: `(A, N)`: what is added to the diagonal, Σ + δ; 1 for fixed unknowns.
        compliance: `(A,)`: δ_c.
        congruence: JᵀDJ in the storage of H.
        epsilon: `(A,)`.
    """
    if congruence.is_one_band and S.device.type == "cpu":
        return BandSystem(form, H, J, S, compliance, congruence, epsilon)
    C = softened(form, H, J, S, compliance, epsilon)
    return GeneralSystem(form, H, J, S, compliance[:, None], congruence, C)


def softened(form: Form, H: Symmetric, J: Rows, S: Tensor, compliance: Tensor, epsilon: Tensor) -> Tensor:
    """C `(A, m)`, with the unknowns of single rows eliminated, and ε; arguments as in `condensed`."""
    C = compliance[:, None].repeat(1, form.m)
    if not form.m:
        return C
    for block, one in form.parts(S):
        C[:, block.first : block.end] += 1 / one
    largest = torch.stack([one.abs().flatten(1).amax(1) for one in H.tensors]).amax(0)
    size = torch.maximum(largest, S[:, : form.n].median(1).values)[:, None]  # bounds that are active do not count
    C = torch.maximum(C, epsilon[:, None] * J.sizes() / size)
    return torch.where(C > 0, C, 1)  # of rows without entries


class BandSystem:
    """That whose matrix is one band, perhaps with a border, in compiled loops.

    Args:
        form, H, J, S, compliance, congruence, epsilon: as in `condensed`.

    Attributes:
        C: as `softened` has it.
    """

    def __init__(
        self, form: Form, H: Symmetric, J: Rows, S: Tensor, compliance: Tensor, congruence: Congruence, epsilon: Tensor
    ) -> None:
        from banded.optimize.interior import kkt_kernels  # numba takes half a second to load

        self._n, self._order, self._place = form.n, congruence.order, congruence.place
        self._blocks = form.block_arrays
        band, edge, corner = _parts(H)
        self._H = band.mT.contiguous().numpy()  # column after column, as it was read
        self._edge = edge.contiguous().numpy(), corner.contiguous().numpy()
        self._S = self._along(S)
        self._rows = congruence.places.numpy(), congruence.lengths, J.values.contiguous().numpy()
        self._compliance = compliance.numpy()
        self.C, info = np.empty((len(S), form.m)), np.empty(len(S), np.int64)
        self._factors = np.empty_like(self._H), np.empty(edge.mT.shape), np.empty(corner.shape)
        softness = self._compliance, epsilon.numpy(), self._blocks
        made = self.C, *self._factors, np.empty(form.n), info
        kkt_kernels.condense(self._H, self._edge, self._S, *self._rows, *softness, *made)
        self.good = torch.from_numpy(info == 0)

    def solve(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `System` has it."""
        from banded.optimize.interior import kkt_kernels  # as above

        first = self._along(a)
        v, multipliers = np.empty_like(first), np.empty(b.shape)
        error = np.empty(len(first))
        limits = REFINEMENTS, ENOUGH, WORTH, CONDITION
        kkt_kernels.solve(
            *self._factors, self._H, self._edge, self._S, *self._rows, self.C, self._compliance, self._blocks, limits,
            first, b.contiguous().numpy(), v, multipliers, error,
        )  # fmt: skip
        found = torch.from_numpy(v)
        if self._place is not None:
            found = torch.cat([found[:, : self._n][:, self._place], found[:, self._n :]], 1)
        return found, torch.from_numpy(multipliers), torch.from_numpy(error)

    def take(self, rows: Tensor) -> BandSystem:
        """That of some of the problems."""
        if len(rows) == len(self.good):
            return self
        other, index = copy.copy(self), rows.numpy()
        other._H, other._S = self._H[index], self._S[index]
        other._edge = self._edge[0][index], self._edge[1][index]
        L, Y, G = self._factors
        other._factors = L[index], Y[index], G[index]
        other._rows, other.C = (*self._rows[:2], self._rows[2][index]), self.C[index]
        other._compliance, other.good = self._compliance[index], self.good[rows]
        return other

    def _along(self, v: Tensor) -> np.ndarray:
        """V `(A, N)` with x in the order of the band."""
        if self._order is not None:
            v = torch.cat([v[:, : self._n][:, self._order], v[:, self._n :]], 1)
        array: np.ndarray = v.contiguous().numpy()
        return array


def _parts(H: Symmetric) -> tuple[Tensor, Tensor, Tensor]:
    """The band `(A, k + 1, c)`, the border `(A, p, c)` and the corner `(A, p, p)`; p = 0 where there is none."""
    tensors = H.tensors
    if len(tensors) == 3:
        return tensors[0], tensors[1], tensors[2]
    band = tensors[0]
    return band, band.new_zeros(len(band), 0, band.shape[-1]), band.new_zeros(len(band), 0, 0)


@dataclass(eq=False)
class GeneralSystem:
    """That on a loop, and that on an accelerator.

    Attributes:
        form, H, J, S, congruence: as in `condensed`.
        compliance: `(A, 1)`: δ_c.
        C: `(A, m)`: with the unknowns of single rows eliminated, and ε.
    """

    form: Form
    H: Symmetric
    J: Rows
    S: Tensor
    compliance: Tensor
    congruence: Congruence
    C: Tensor

    def __post_init__(self) -> None:
        self._K = self.H.add_diagonal(self.S[:, : self.form.n])
        if self.form.m:
            added = self.congruence(self.J.values, 1 / self.C)
            self._K = self._K.with_tensors(tuple(a + b for a, b in zip(self._K.tensors, added, strict=True)))
        self._factor, self.good = _factored(self._K)

    def solve(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """As `System` has it."""
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

    def take(self, rows: Tensor) -> GeneralSystem:
        """That of some of the problems."""
        if len(rows) == len(self.good):
            return self
        other = copy.copy(self)
        other.form, other.J = taken(self.form, rows), self.J.with_values(self.J.values[rows])
        other.H, other._K = (one.with_tensors(tuple(part[rows] for part in one.tensors)) for one in (self.H, self._K))
        other.S, other.compliance, other.C = self.S[rows], self.compliance[rows], self.C[rows]
        other._factor, other.good = None, self.good[rows]
        return other

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
        if self._factor is not None:
            return self._factor.solve(b[0])[None]
        return self._K.solve_where_definite(b)[0]


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
