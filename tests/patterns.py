"""Structures of Hessians beside the matrices that they allow, in full, written from the definitions in NumPy."""

from collections.abc import Callable

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from banded.hessian.structure import Structure

Mask = Callable[[np.random.Generator, int, int], np.ndarray | None]


def full(rng: np.random.Generator, k: int, m: int) -> None:
    """Nothing is known to be zero inside the band."""


def irregular(rng: np.random.Generator, k: int, m: int) -> np.ndarray:
    """Entries anywhere."""
    mask = rng.random((k + 1, m)) < rng.uniform(0.1, 0.9)
    mask[0] = True
    return mask


def repeating(rng: np.random.Generator, k: int, m: int) -> np.ndarray:
    """The same entries in every node of up to 6 unknowns."""
    width = int(rng.integers(1, 7))
    node = rng.random((k + 1, width)) < rng.uniform(0.1, 0.9)
    node[0] = True
    return np.array([[node[d, j % width] for j in range(m)] for d in range(k + 1)])


def blocks(b: int, m: int) -> np.ndarray:
    """Block-tridiagonal: nodes of b unknowns, each coupled in full to itself and to the next one."""
    return np.array([[(j + d) // b - j // b <= 1 for j in range(m)] for d in range(2 * b)])


def lower(A: np.ndarray, k: int) -> np.ndarray:
    """`(k + 1, n)`: where the lower band of A has entries."""
    n = len(A)
    return np.array([[j + d < n and A[j + d, j] != 0 for j in range(n)] for d in range(k + 1)])


def structure(
    n: int,
    k: int,
    *,
    periodic: bool = False,
    border: int = 0,
    mask: np.ndarray | None = None,
    width: int = 1,
    order: np.ndarray | None = None,
) -> Structure:
    """A structure from NumPy arrays."""
    return Structure(
        n,
        k,
        periodic,
        border,
        None if order is None else torch.from_numpy(order.copy()),
        None if mask is None else torch.from_numpy(mask.copy()),
        width,
    )


@st.composite
def structures(
    draw: st.DrawFn,
    *,
    loops: bool | None = None,
    borders: tuple[int, ...] = (0, 1, 3),
    masks: tuple[Mask, ...] = (full, irregular, repeating),
    largest: int = 40,
) -> Structure:
    """Bands and loops (only those, if `loops` says so), in random orders, with zeros inside the band, and borders."""
    periodic = draw(st.booleans()) if loops is None else loops
    m = draw(st.integers(1, largest))
    k = draw(st.integers(0, (m - 1) // 2 if periodic else m - 1))
    p = draw(st.sampled_from(borders))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    mask = draw(st.sampled_from(masks))(rng, k, m)
    order = rng.permutation(m + p) if draw(st.booleans()) else None
    return structure(m + p, k, periodic=periodic, border=p, mask=mask, order=order)


def allowed(where: Structure) -> np.ndarray:
    """`(n, n)`, along the chain: which entries may be other than zero."""
    n, m = where.n, where.core
    pattern = np.zeros((n, n), dtype=bool)
    mask = None if where.mask is None else where.mask.numpy()
    for j in range(m):
        for d in range(where.bandwidth + 1):
            i = j + d
            if (i < m or where.periodic) and (mask is None or mask[d, j]):
                pattern[i % m, j] = pattern[j, i % m] = True
    pattern[m:] = pattern[:, m:] = True
    return pattern


def to_user(where: Structure, along: np.ndarray) -> np.ndarray:
    """A matrix `(..., n, n)` along the chain, in the user's order."""
    if where.order is None:
        return along
    order = where.order.numpy()
    matrix = np.empty_like(along)
    matrix[..., order[:, None], order[None, :]] = along
    return matrix


def matrices(where: Structure, seed: int, *, batch: tuple[int, ...] = (), whole: bool = False) -> np.ndarray:
    """Random symmetric matrices `(*batch, n, n)` in the user's order; of whole numbers, if asked."""
    rng = np.random.default_rng(seed)
    shape = (*batch, where.n, where.n)
    entries = rng.integers(-99, 100, shape).astype(np.float64) if whole else rng.standard_normal(shape)
    entries = np.tril(entries) + np.swapaxes(np.tril(entries, -1), -1, -2)
    return to_user(where, entries * allowed(where))


def multiplied(probes: Tensor, A: np.ndarray) -> Tensor:
    """What autograd would say: the matrix, symmetric, times each probe, `(*batch, c, n)`."""
    return probes @ torch.from_numpy(A).to(probes)
