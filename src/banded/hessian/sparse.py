"""Finding the entries of a sparse matrix in no known order, from products with random groups of columns."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from banded.hessian.verify import Products

ROUNDS = 12  # of groups drawn anew
NEAR = 0.2  # of a whole number, that a column has to be
DENSE = 64  # rows that may stay unexplained, for their many entries


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries found in rows that have few of them.

    Attributes:
        row, column: `(E,)`, NumPy; every entry beside the diagonal stands in both triangles.
        dense: rows with too many entries to be told apart.
    """

    row: np.ndarray
    column: np.ndarray
    dense: np.ndarray


def find_entries(products: Products, x: Tensor, numbers: Tensor, groups: int, seed: int = 0) -> Entries | None:
    """The entries of the Hessian among the unknowns `numbers`, or None where the groups are too few.

    Columns are dealt at random into groups. Of each group three products are
    made: with ones, with weights that rise with the column, and with random
    weights. Where a row has one entry in a group, the second product over the first tells its
    column, and the third confirms it. What is known is subtracted, and the groups
    are dealt anew for the rest (a sparse matrix is decoded as in compressed sensing by
    peeling: Li, Yin, Pawar & Ramchandran 2019, "Sub-linear time support recovery").
    About 3 groups for each entry in the fullest sparse row suffice, whatever n.

    Args:
        products: of the Hessian.
        x: the point, `(n,)`.
        numbers: `(m,)`, the unknowns to look among.
        groups: into which the columns are dealt.
        seed: of the groups and weights.
    """
    m = len(numbers)
    rng = np.random.default_rng(seed)
    tolerance = 1e-6 if x.dtype == torch.float64 else 1e-3
    known: csr_array = csr_array((m, m))
    groups = min(groups, m)
    dense = np.zeros(m, dtype=bool)
    for _ in range(ROUNDS):
        group = rng.permutation(m) % groups
        weights = np.stack([np.ones(m), 1 + np.arange(m) / m, rng.uniform(0.5, 1.5, m)])
        probes = np.zeros((groups, 3, m))
        probes[group, :, np.arange(m)] = weights.T
        control = rng.standard_normal((1, m))
        every = np.concatenate([probes.reshape(-1, m), control])
        whole = torch.zeros(len(every), x.shape[-1], dtype=x.dtype, device=x.device)
        whole[:, numbers] = torch.from_numpy(every).to(x)
        shown = products(x, whole)[:, numbers].double().cpu().numpy()
        scale = np.abs(shown[:-1:3]).sum(0)
        rest = (shown - (known @ every.T).T)[:-1].reshape(groups, 3, m)
        g, i, j, value = _decode(rest, scale, group, weights[2], tolerance)
        explained = np.abs(rest[:, 0]) <= tolerance * scale
        explained[g, i] = True
        dense = ~explained.all(0)
        known = _with(known, i, j, value)
        wrong = np.abs(shown[-1] - known @ control[0]) > tolerance * scale
        if not len(i) or not (dense | wrong).any():
            break
    unexplained = np.nonzero(dense)[0]
    if len(unexplained) > min(DENSE, m // 4):
        return None
    found = known.tocoo()
    there = np.abs(found.data) > tolerance * np.minimum(scale[found.row], scale[found.col])
    return Entries(found.row[there], found.col[there], unexplained)


def _decode(
    rest: np.ndarray, scale: np.ndarray, group: np.ndarray, weight: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Group, row, column and value of the entries that are alone in their group."""
    m = rest.shape[2]
    g, i = np.nonzero(np.abs(rest[:, 0]) > tolerance * scale)
    value = rest[g, 0, i]
    position = (rest[g, 1, i] / value - 1) * m
    column = np.rint(position)
    good = (column >= 0) & (column < m) & (np.abs(position - column) < NEAR)
    j = np.where(good, column, 0).astype(np.int64)
    good &= group[j] == g
    good &= np.abs(rest[g, 2, i] - weight[j] * value) <= 10 * tolerance * np.abs(value)
    return g[good], i[good], j[good], value[good]


def _with(known: csr_array, i: np.ndarray, j: np.ndarray, value: np.ndarray) -> csr_array:
    """The entries added, each once in both triangles; one that was mistaken is found again with the other sign."""
    m = known.shape[0]
    keys, first = np.unique(np.minimum(i, j) * m + np.maximum(i, j), return_index=True)
    low, high, value = keys // m, keys % m, value[first]
    off = low != high
    rows, columns = np.concatenate([low, high[off]]), np.concatenate([high, low[off]])
    added: csr_array = known + csr_array((np.concatenate([value, value[off]]), (rows, columns)), shape=(m, m))
    return added
