"""Which unknowns may share a probe. Graphs and indices only.

A colouring gives every unknown of the core a colour; the unknowns of one colour
are probed together. For a full band the comb is as good as it gets; where there
are zeros inside the band, fewer colours do (Gebremedhin, Manne & Pothen 2005, SIAM Review
47:629-705). A chain repeats itself from node to node, so colours are sought on
one period of it, closed to a ring, and repeated: the work does not grow with n.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from banded.hessian.structure import Structure, fold, node_width

PERIODS = 10  # lengths of the ring that are tried, in steps of a node
TRIALS = 20  # orders of its vertices
WORK = 20_000_000  # steps of Python at most, on all of them
LARGE = 4000  # unknowns above which an irregular pattern is coloured like the offsets it uses

Graph = list[list[int]]
"""For each vertex, the vertices after it that it shares an entry with."""
Greedy = Callable[[Graph, Sequence[int]], list[int]]


@dataclass(frozen=True, eq=False)
class Coloring:
    """Which unknowns share a probe.

    Attributes:
        colors: `(m,)`, from 0, of the unknowns of the core along the chain.
        count: how many there are.
        plain: whether equal colours are too far apart to meet in a row of the band.
    """

    colors: Tensor
    count: int
    plain: bool = True


def comb(m: int, spacing: int, device: torch.device) -> Coloring:
    """Colour j mod `spacing` for unknown j."""
    spacing = min(spacing, m)
    return Coloring(torch.arange(m, device=device) % spacing, spacing)


def ring(m: int, spacing: int, device: torch.device) -> Coloring:
    """As a comb on a loop: equal colours are at least `spacing` apart, also across the seam.

    Blocks of `spacing` and longer by one or more, as m leaves over.
    """
    blocks = max(m // spacing, 1)
    start = torch.arange(blocks, device=device) * m // blocks
    position = torch.arange(m, device=device)
    block = torch.searchsorted(start, position, right=True) - 1
    return Coloring(position - start[block], -(-m // blocks))


def for_direct(structure: Structure, device: torch.device) -> Coloring:
    """A star colouring: each entry is alone in its row among those of its colour, in one triangle at least."""
    m, k = structure.core, structure.bandwidth
    plain = ring(m, 2 * k + 1, device) if structure.periodic else comb(m, 2 * k + 1, device)
    return _search(structure, plain, _star, device)


def for_rows(structure: Structure, apart: Structure, fewest: int, device: torch.device) -> Coloring:
    """A star colouring of one structure in which neighbours in another, in the same order, have different colours.

    Entries of a matrix whose rows couple only such neighbours are then alone in their row (Coleman & Moré
    1983, SIAM J. Numer. Anal. 20:187-209): so one set of probes reads a Hessian and a Jacobian. No less than
    `fewest` colours will do, the entries of the longest row.
    """
    spacing = max(2 * structure.bandwidth, apart.bandwidth) + 1
    plain = ring(structure.core, spacing, device) if structure.periodic else comb(structure.core, spacing, device)
    if plain.count <= 1:
        return plain
    rows = apart.bandwidth + 1
    both = [_graphs(_mask(one, rows), apart) for one in (structure, apart)]
    every = (_trials(graph, partial(_star, apart=near)) for graph, near in zip(*both, strict=True))
    return _best(plain, chain.from_iterable(every), structure.core, device, fewest)


def for_symmetric(structure: Structure, device: torch.device) -> Coloring:
    """Colours that differ among the neighbours before an unknown, and among those behind, itself included.

    A triangular colouring (Coleman & Moré 1984, Math. Program. 28:243-270) from
    both ends. An equation then holds at most two unknown entries, one before
    and one behind, and the entries form chains along which they are found. For
    a full band that is a comb of spacing k + 1. Not for loops.
    """
    return _search(structure, comb(structure.core, structure.bandwidth + 1, device), _two_sided, device)


def _search(structure: Structure, plain: Coloring, color: Greedy, device: torch.device) -> Coloring:
    """The best of the colourings found, or the plain one where none has fewer colours."""
    if structure.mask is None or plain.count <= 2:
        return plain
    graphs = _graphs(structure.mask.cpu().numpy(), structure)
    return _best(plain, chain.from_iterable(_trials(graph, color) for graph in graphs), structure.core, device)


def _best(plain: Coloring, every: Iterable[list[int]], m: int, device: torch.device, fewest: int = 1) -> Coloring:
    """The colouring with the fewest colours, repeated along the chain, or the plain one where none has fewer.

    The search ends at `fewest` colours.
    """
    best: list[int] = []
    count = m + 1
    for colors in every:
        if len(set(colors[:m])) < count:
            best, count = colors[:m], len(set(colors[:m]))
        if count <= fewest:
            break
    used, table = torch.unique(torch.tensor(best, dtype=torch.long, device=device), return_inverse=True)
    if not best or len(used) >= plain.count:
        return plain
    return Coloring(table.repeat(-(-m // len(table)))[:m], len(used), plain=False)


def _graphs(mask: np.ndarray, structure: Structure) -> list[Graph]:
    """The graph of a mask `(rows, m)`, or those of its period closed to rings, as the structure asks for."""
    width, regular = node_width(_mask(structure, structure.bandwidth + 1), structure.width)
    if not regular and structure.core <= LARGE and not structure.periodic:
        return [_graph(mask, structure.core)]
    folded = fold(mask, width)
    return [_ring_graph(folded, length) for length in _lengths(structure, width)]


def _mask(structure: Structure, rows: int) -> np.ndarray:
    """`(rows, m)`: where a structure has entries, no more than so many below the diagonal."""
    have = structure.bandwidth + 1
    mask = np.zeros((rows, structure.core), dtype=bool)
    mask[:have] = True if structure.mask is None else structure.mask.cpu().numpy()
    return mask


def _lengths(structure: Structure, width: int) -> list[int]:
    """Ring lengths: whole nodes, no shorter than what an entry and its mirror reach, and fitting a loop exactly."""
    first = -(-(2 * structure.bandwidth + 1) // width)
    lengths = [width * nodes for nodes in range(first, first + PERIODS)]
    if structure.periodic:
        return [length for length in lengths if structure.core % length == 0]
    return [length for length in lengths if length <= structure.core] or lengths[:1]


def _ring_graph(folded: np.ndarray, length: int) -> Graph:
    width = folded.shape[1]
    offsets = [[int(d) for d in np.nonzero(folded[:, r])[0] if d] for r in range(width)]
    return [[(j + d) % length for d in offsets[j % width]] for j in range(length)]


def _graph(mask: np.ndarray, m: int) -> Graph:
    return [[j + int(d) for d in np.nonzero(mask[:, j])[0] if d and j + d < m] for j in range(m)]


def _trials(graph: Graph, color: Greedy) -> Iterable[list[int]]:
    """Colourings in the natural and in some random orders, as many as the work allows."""
    degree = 2 * max(map(len, graph)) + 1
    generator = np.random.default_rng(0)
    for trial in range(min(TRIALS, WORK // (PERIODS * len(graph) * degree**3))):
        order = range(len(graph)) if trial == 0 else generator.permutation(len(graph)).tolist()
        yield color(graph, order)


def _star(graph: Graph, order: Sequence[int], apart: Graph | None = None) -> list[int]:
    """Greedy star colouring: no path of four vertices has two colours (Gebremedhin et al. 2005, algorithm 4.1).

    Neighbours in the graph `apart` have different colours, too.
    """
    neighbors = _neighbors(graph)
    near_rows = neighbors if apart is None else _neighbors(apart)
    colors = [-1] * len(graph)
    for v in order:
        forbidden = {colors[w] for w in neighbors[v] | near_rows[v]}
        near = [colors[w] for w in neighbors[v]]
        for w in neighbors[v]:
            for x in neighbors[w]:
                if x == v or colors[x] < 0 or colors[x] in forbidden:
                    continue
                twice = colors[w] < 0 or near.count(colors[w]) > 1
                if twice or any(colors[y] == colors[w] and y != w for y in neighbors[x]):
                    forbidden.add(colors[x])
        colors[v] = _first_free(forbidden)
    return colors


def _neighbors(graph: Graph) -> list[set[int]]:
    neighbors: list[set[int]] = [set() for _ in graph]
    for j, behind in enumerate(graph):
        for i in behind:
            neighbors[i].add(j)
            neighbors[j].add(i)
    return neighbors


def _two_sided(graph: Graph, order: Sequence[int]) -> list[int]:
    """Greedy colouring of the pairs that meet before or behind some vertex."""
    groups = [{j, *behind} for j, behind in enumerate(graph)]
    before: list[set[int]] = [{j} for j in range(len(graph))]
    for j, behind in enumerate(graph):
        for i in behind:
            before[i].add(j)
    conflicts: list[set[int]] = [set() for _ in graph]
    for group in groups + before:
        for j in group:
            conflicts[j] |= group
    colors = [-1] * len(graph)
    for v in order:
        colors[v] = _first_free({colors[w] for w in conflicts[v]})
    return colors


def _first_free(forbidden: set[int]) -> int:
    color = 0
    while color in forbidden:
        color += 1
    return color
