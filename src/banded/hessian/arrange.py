"""From a pattern to an order in which it is a narrow band. Indices only."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

NARROW = 8  # a half-bandwidth up to which the order that was given stays
BRUTE = 7  # unknowns of a node up to which all their orders are tried
STARTS = 10  # of the descent, where a node has more
FULL = 4  # times the entries of a row in the middle, or twice as many at least, make a row dense


@dataclass(frozen=True, eq=False)
class Arrangement:
    """An order of the unknowns with what their pattern is in it.

    Attributes:
        order: `(m,)`: unknown at each place, those of the border last.
        bandwidth: half-bandwidth of the others.
        periodic: whether their band wraps round.
        border: unknowns in the border.
    """

    order: np.ndarray
    bandwidth: int
    periodic: bool
    border: int

    @property
    def effort(self) -> int:
        """What products and storage grow with."""
        return self.bandwidth + self.border


def arrange(row: np.ndarray, column: np.ndarray, m: int, dense: np.ndarray) -> Arrangement:
    """The simplest arrangement that is at most twice as wide as the narrowest one found.

    In this order: as it is; as a loop; with a border; both; by reverse
    Cuthill-McKee (1969), without or with a border.

    Args:
        row: `(E,)`, rows of the entries.
        column: `(E,)`, their columns; both triangles.
        m: number of unknowns.
        dense: rows whose entries are not known, for they are too many.
    """
    borders = [np.asarray(dense)]
    degree = np.bincount(row, minlength=m)
    full = np.nonzero(degree > FULL * max(2, np.median(degree)))[0]
    wide = np.union1d(full, dense)
    if len(wide) > len(dense) and len(wide) < m:
        borders.append(wide)
    found = []
    for border in borders:
        found += _linear(row, column, m, border)
    for border in borders:
        found.append(_reordered(row, column, m, border))
    first = found[0]
    if first.bandwidth <= NARROW and not first.periodic:
        return first
    least = min(one.effort for one in found)
    return next(one for one in found if one.effort <= 2 * least)


def best_columns(mask: np.ndarray, width: int) -> Sequence[int]:
    """The order of the unknowns within a node that makes the band of the chain narrowest.

    Args:
        mask: `(k + 1, m)`: where `band[d, j]` has entries, node after node.
        width: unknowns of a node.
    """
    d, j = np.nonzero(mask)
    low, high, nodes = j % width, (j + d) % width, (j + d) // width - j // width
    first, second, apart = np.unique(np.stack([low, high, nodes]), axis=1)

    def bandwidth(places: np.ndarray) -> np.ndarray:
        spans: np.ndarray = np.abs(apart * width + places[:, second] - places[:, first]).max(1)
        return spans

    natural = np.arange(width)
    if width <= BRUTE:
        every = np.array(list(permutations(range(width))))
        widths = bandwidth(every)
        best = every[widths.argmin()] if widths.min() < widths[0] else natural
    else:
        best = _swap(natural, bandwidth)
    columns: list[int] = np.argsort(best).tolist()
    return columns


def _swap(places: np.ndarray, bandwidth: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Descent by exchanging two unknowns, from the given order and some random ones."""
    width = len(places)
    first, second = np.triu_indices(width, 1)
    rng = np.random.default_rng(0)
    best = places
    for start in range(STARTS):
        here = places if start == 0 else rng.permutation(width)
        while True:
            swapped = np.repeat(here[None], len(first), 0)
            every = np.arange(len(first))
            swapped[every, first], swapped[every, second] = here[second], here[first]
            widths = bandwidth(swapped)
            if widths.min() >= bandwidth(here[None])[0]:
                break
            here = swapped[widths.argmin()]
        if bandwidth(here[None])[0] < bandwidth(best[None])[0]:
            best = here
    return best


def _linear(row: np.ndarray, column: np.ndarray, m: int, border: np.ndarray) -> list[Arrangement]:
    """As it is, and as a loop where that is narrower, without `border`."""
    order = np.concatenate([np.setdiff1d(np.arange(m), border), border])
    i, j, core = _places(row, column, order, len(border))
    apart = np.abs(i - j)
    k = int(apart.max(initial=0))
    around = int(np.minimum(apart, core - apart).max(initial=0))
    found = [Arrangement(order, k, False, len(border))]
    if around < k and 2 * around < core:
        found.append(Arrangement(order, around, True, len(border)))
    return found


def _reordered(row: np.ndarray, column: np.ndarray, m: int, border: np.ndarray) -> Arrangement:
    order = np.concatenate([np.setdiff1d(np.arange(m), border), border])
    i, j, core = _places(row, column, order, len(border))
    graph = csr_array((np.ones(len(i), dtype=np.int8), (i, j)), shape=(core, core))
    better = reverse_cuthill_mckee(graph, symmetric_mode=True)
    order = np.concatenate([order[:core][better], order[core:]])
    i, j, _ = _places(row, column, order, len(border))
    return Arrangement(order, int(np.abs(i - j).max(initial=0)), False, len(border))


def _places(row: np.ndarray, column: np.ndarray, order: np.ndarray, border: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Places of the entries outside the border, and how many unknowns there are outside."""
    core = len(order) - border
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    i, j = place[row], place[column]
    inside = (i < core) & (j < core)
    return i[inside], j[inside], core
