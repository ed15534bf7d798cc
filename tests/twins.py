"""Every type of matrix beside its dense twin in NumPy, written entry by entry from the definitions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import oracles
from banded.matrix import Bordered, Periodic, Reordered, Symmetric, SymmetricBanded

KINDS = (
    "symmetric",
    "periodic",
    "bordered symmetric",
    "bordered periodic",
    "reordered symmetric",
    "reordered periodic",
    "reordered bordered symmetric",
    "reordered bordered periodic",
)
BATCHES: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))


@dataclass(frozen=True, eq=False)
class Twin:
    """Parts that make a matrix of some kind, and the same matrix in full."""

    kind: str
    parts: tuple[Tensor, ...]  # band, or band, border and corner
    order: Tensor  # of a "reordered" kind; else 0, 1, 2, ...
    dense: np.ndarray

    @property
    def H(self) -> Symmetric:
        return self.matrix(*self.parts)

    def matrix(self, band: Tensor, *around: Tensor) -> Symmetric:
        """One of this kind, made of other parts."""
        H: Symmetric = Periodic(band) if "periodic" in self.kind else SymmetricBanded(band)
        if around:
            H = Bordered(H, *around)
        return Reordered(H, self.order) if "reordered" in self.kind else H


def pattern(kind: str, n: int, k: int, p: int = 0) -> np.ndarray:
    """Which entries of n unknowns, p of them in a border, may be other than zero."""
    m = n - p
    allowed = np.zeros((n, n), dtype=bool)
    for i in range(n):
        for j in range(n):
            apart = abs(i - j)
            apart = min(apart, m - apart) if "periodic" in kind else apart
            allowed[i, j] = apart <= k or max(i, j) >= m
    return allowed


def twin(
    kind: str,
    m: int,
    k: int,
    p: int = 2,
    batch: Sequence[int] = (),
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
    definite: bool = True,
) -> Twin:
    """A random matrix with m unknowns in the core, and p more in the border where there is one."""
    rng = np.random.default_rng(seed)
    p = p if "bordered" in kind else 0
    n = m + p
    lower = np.tril(rng.standard_normal((*batch, n, n)))
    A = (lower + np.swapaxes(np.tril(lower, -1), -1, -2)) * pattern(kind, n, k, p)
    if definite:
        A[..., range(n), range(n)] = 0.5 + np.abs(A).sum(-1)
    return of_dense(kind, A.astype(str(dtype).removeprefix("torch.")), k, p, rng)


def of_dense(kind: str, A: np.ndarray, k: int, p: int, rng: np.random.Generator) -> Twin:
    """The parts of A `(..., n, n)` along the chain; a "reordered" kind then shuffles its unknowns."""
    m = A.shape[-1] - p
    band = np.full((*A.shape[:-2], k + 1, m), np.nan)
    for one in np.ndindex(A.shape[:-2]):
        core = A[one][:m, :m]
        band[one] = loop(core, k) if "periodic" in kind else oracles.lower_band(core, k, poison=np.nan).numpy()
    parts = [band.astype(A.dtype)]
    if p:
        parts += [A[..., m:, :m], np.where(np.tril(np.ones((p, p))) > 0, A[..., m:, m:], np.nan)]
    order = rng.permutation(m + p) if "reordered" in kind else np.arange(m + p)
    dense = np.empty_like(A)
    for a in range(m + p):
        for b in range(m + p):
            dense[..., order[a], order[b]] = A[..., a, b]
    return Twin(kind, tuple(torch.tensor(part) for part in parts), torch.tensor(order), dense)


def loop(A: np.ndarray, k: int) -> np.ndarray:
    """band[d, j] = A[(j + d) mod n, j], entry by entry."""
    n = len(A)
    return np.array([[A[(j + d) % n, j] for j in range(n)] for d in range(k + 1)])


def tolerance(A: np.ndarray) -> float:
    """What backward stable solving of A x = b may lose, relative to the largest of x."""
    return float(100 * np.finfo(A.dtype).eps * np.linalg.cond(A).max())


def first_bad_row(A: np.ndarray) -> int | None:
    """The row that ends the first leading minor which is not positive definite, by its eigenvalues."""
    for row in range(len(A)):
        if np.linalg.eigvalsh(A[: row + 1, : row + 1])[0] <= 0:
            return row
    return None
