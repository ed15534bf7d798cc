"""Cholesky factorisation of a block-tridiagonal matrix by cyclic reduction: batched dense operations alone.

Every other block is eliminated at once, then every other one of the rest, so that
⌈log2 T⌉ + 1 steps factor T blocks (Heller 1976, SIAM J. Numer. Anal. 13:484-496): the form that accelerators like.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from banded.checks import check_operand, concrete
from banded.factor.cholesky import Cholesky
from banded.factor.failures import not_positive_definite


@dataclass(frozen=True, eq=False)
class _Level:
    """The blocks 1, 3, 5, … of what is left, eliminated.

    Attributes:
        L: `(..., o, b, b)`: their factors.
        before: `(..., o, b, b)`: P = L⁻¹ A[i, i - 1].
        behind: `(..., q, b, b)`: Q = L⁻¹ A[i, i + 1], where there is one.
    """

    L: Tensor
    before: Tensor
    behind: Tensor


class BlockCholesky:
    """A = M Mᵀ, blocks in the order of cyclic reduction; differentiable by autograd.

    Laws: those of `Cholesky`.

    Args:
        diagonal: `(..., T, b, b)`: A[t, t], both triangles.
        below: `(..., T - 1, b, b)`: A[t + 1, t].
        n: unknowns; those of the last block behind them are padding, with ones on the diagonal.

    Raises:
        NotPositiveDefiniteError: with the row at which a factorisation from the first row on stops.
        NonFiniteError: if an entry is NaN or infinite.
    """

    def __init__(self, diagonal: Tensor, below: Tensor, n: int) -> None:
        self._n, self._like = n, diagonal
        self._levels: list[_Level] = []
        D, E = diagonal, below
        while D.shape[-3] > 1:
            level, D, E = _halved(D, E)
            self._levels.append(level)
        self._last = torch.linalg.cholesky_ex(D).L
        pivots = [one.diagonal(dim1=-2, dim2=-1).detach() for one in self._factors()]
        good = torch.stack([((one > 0) & (one < torch.inf)).all(-1).all(-1) for one in pivots])  # NaN is neither
        failed = concrete(~good.all(0)).reshape(-1).nonzero()
        if len(failed):
            _explain(concrete(diagonal), concrete(below), n, int(failed[0]))

    def _factors(self) -> list[Tensor]:
        return [*(level.L for level in self._levels), self._last]

    def solve(self, b: Tensor) -> Tensor:
        """X with A x = b, differentiable; `b` `(..., n)` or `(..., n, m)`.

        Raises:
            ValueError: if `b` has another length, dtype or device than A.
        """
        like = self._like
        check_operand("b", b, like, torch.Size((*like.shape[:-3], self._n)))
        vector = b.ndim == like.ndim - 2
        rest = self._blocks(b[..., None] if vector else b)
        y = []
        for level in self._levels:
            odd, even = rest[..., 1::2, :, :], rest[..., ::2, :, :]
            y.append(torch.linalg.solve_triangular(level.L, odd, upper=False))
            rest = even - _scattered(level.before.mT @ y[-1], level.behind.mT @ _first(y[-1], level.behind))
        last = torch.linalg.solve_triangular(self._last, rest, upper=False)
        x = self._flat(self._backward([*y, last]))
        return x[..., 0] if vector else x

    def logdet(self) -> Tensor:
        """Log det A, `(...)`; differentiable."""
        logs = [one.diagonal(dim1=-2, dim2=-1).log().sum((-2, -1)) for one in self._factors()]
        whole: Tensor = 2 * torch.stack(logs).sum(0)
        return whole

    def inverse_blocks(self) -> tuple[Tensor, Tensor]:
        """The blocks of A⁻¹ where A has its own, `(..., T, b, b)` and `(..., T - 1, b, b)`; differentiable.

        A block that was eliminated is x = L⁻ᵀ y - K [x before; x behind] with K = L⁻ᵀ [P Q]; so its covariances follow
        from those of its two neighbours (Takahashi's recursion, block by block).
        """
        D = _inverse_of(self._last)
        E = D[..., :0, :, :]
        for level in reversed(self._levels):
            before, behind = (
                torch.linalg.solve_triangular(_first(level.L, one).mT, one, upper=True)
                for one in (level.before, level.behind)
            )
            q, o = behind.shape[-3], before.shape[-3]
            to_before = -before @ D[..., :o, :, :]
            to_before = to_before - pad(behind @ E[..., :q, :, :], (0, 0, 0, 0, 0, o - q))
            to_behind = -(_first(before, behind) @ E[..., :q, :, :].mT + behind @ D[..., 1 : q + 1, :, :])
            own = _inverse_of(level.L) - to_before @ before.mT
            own = own - pad(to_behind @ behind.mT, (0, 0, 0, 0, 0, o - q))
            D, E = _woven(D, own), _woven(to_before, to_behind.mT)
        return D, E

    def sample(self, shape: tuple[int, ...] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draws from N(0, A⁻¹), `(*shape, ..., n)`: M⁻ᵀ z for independent normal z; without a graph."""
        count = torch.Size(shape).numel()
        z = [
            torch.randn(*one.shape[:-1], count, generator=generator, dtype=one.dtype, device=one.device)
            for one in self._factors()
        ]
        x = self._flat(self._backward(z).detach())
        return x.movedim(-1, 0).reshape(*shape, *x.shape[:-1])

    def _backward(self, y: list[Tensor]) -> Tensor:
        """Mᵀ x = y, from the last level to the first."""
        x: Tensor = torch.linalg.solve_triangular(self._last.mT, y[-1], upper=True)
        for level, right in zip(reversed(self._levels), reversed(y[:-1]), strict=True):
            count = level.behind.shape[-3]
            after = level.behind @ x[..., 1 : count + 1, :, :]
            right = right - level.before @ _first(x, level.before)
            right = right - pad(after, (0, 0, 0, 0, 0, right.shape[-3] - count))
            odd = torch.linalg.solve_triangular(level.L.mT, right, upper=True)
            x = _woven(x, odd)
        return x

    def _blocks(self, b: Tensor) -> Tensor:
        """`(..., T, b, m)` from `(..., n, m)`."""
        T, size = self._like.shape[-3:-1]
        return pad(b, (0, 0, 0, T * size - self._n)).reshape(*b.shape[:-2], T, size, b.shape[-1])

    def _flat(self, x: Tensor) -> Tensor:
        """`(..., n, m)` from `(..., T, b, m)`."""
        return x.flatten(-3, -2)[..., : self._n, :]


def _inverse_of(L: Tensor) -> Tensor:
    """(L Lᵀ)⁻¹."""
    eye = torch.eye(L.shape[-1], dtype=L.dtype, device=L.device).expand_as(L)
    inverse: Tensor = torch.linalg.solve_triangular(L, eye, upper=False)
    product: Tensor = inverse.mT @ inverse
    return product


def _halved(D: Tensor, E: Tensor) -> tuple[_Level, Tensor, Tensor]:
    """Eliminate the blocks 1, 3, 5, …: with them, the diagonal and the coupling of the others."""
    L = torch.linalg.cholesky_ex(D[..., 1::2, :, :]).L
    before = torch.linalg.solve_triangular(L, E[..., ::2, :, :], upper=False)
    right = E[..., 1::2, :, :].mT
    behind = torch.linalg.solve_triangular(_first(L, right), right, upper=False)
    rest = D[..., ::2, :, :] - _scattered(before.mT @ before, behind.mT @ behind)
    return _Level(L, before, behind), rest, -behind.mT @ _first(before, behind)


def _first(blocks: Tensor, like: Tensor) -> Tensor:
    """As many of the first blocks as `like` has."""
    return blocks[..., : like.shape[-3], :, :]


def _scattered(to_before: Tensor, to_behind: Tensor) -> Tensor:
    """What blocks 1, 3, 5, … give to their neighbours before, and behind, summed over the blocks 0, 2, 4, …."""
    count = 1 + to_behind.shape[-3]
    before = pad(to_before, (0, 0, 0, 0, 0, count - to_before.shape[-3]))
    return before + pad(to_behind, (0, 0, 0, 0, 1, 0))


def _woven(even: Tensor, odd: Tensor) -> Tensor:
    """Blocks 0, 2, 4, … and 1, 3, 5, … in order."""
    both = torch.stack([even, pad(odd, (0, 0, 0, 0, 0, even.shape[-3] - odd.shape[-3]))], -3)
    return both.flatten(-4, -3)[..., : even.shape[-3] + odd.shape[-3], :, :]


def _explain(D: Tensor, E: Tensor, n: int, number: int) -> None:
    """Raise what a factorisation from the first row on says of the matrix of that number in the batch."""
    batch, (T, b) = D.shape[:-3], D.shape[-3:-1]
    count = batch.numel()
    one, below = D.detach().cpu().reshape(count, T, b, b), E.detach().cpu().reshape(count, T - 1, b, b)
    both = torch.cat([one, pad(below, (0, 0, 0, 0, 0, 1))], -2)  # (B, T, 2b, b): what lies below each column
    d = torch.arange(2 * b)[:, None] + torch.arange(b)
    columns = torch.where(d < 2 * b, both.gather(-2, d.clamp(max=2 * b - 1).expand(*both.shape)), 0)
    band = columns.transpose(-3, -2).reshape(-1, 2 * b, T * b)[:, : min(2 * b, n), :n].reshape(*batch, min(2 * b, n), n)
    Cholesky(band)
    raise not_positive_definite(n - 1, number, batch)  # by rounding alone
