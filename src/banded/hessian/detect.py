"""Finding the structure of a Hessian. Sees f only through its products."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from banded.errors import BandwidthError, RecoveryError
from banded.hessian.arrange import arrange, best_columns
from banded.hessian.extraction import extraction
from banded.hessian.layout import Layout
from banded.hessian.probes import gaussian
from banded.hessian.sparse import find_entries
from banded.hessian.structure import Structure, fold, repeated
from banded.hessian.verify import Products, Witness, testify
from banded.matrix import Symmetric

# The search for a band ends here; up to this many unknowns it may end at a full matrix.
WIDEST = 512
DENSE = 2048
# Half-bandwidths up to which a band is looked for before each look for entries in any order, and the groups for that.
LADDER = ((8, 24), (32, 96), (128, 384))


def read_directly(structure: Structure, products: Products, x: Tensor) -> Symmetric:
    """The Hessian at x, one product for each colour and each unknown of the border."""
    direct = extraction(structure, "direct", x, compiled=False)
    return direct.recover(products(x, direct.probes(x)))


def detect(products: Products, given: list[Tensor], layout: Layout, generator: torch.Generator) -> Structure:
    """The structure that explains random products of the Hessian, at the points given and at random ones.

    A random point comes first, and another last: at a given one second
    derivatives may happen to vanish. A band is found by doubling, at about 12k products. Where
    it is wide, the entries are looked for in any order, and a border, a
    loop or a better order of the unknowns from them.

    Raises:
        BandwidthError: if no structure within the limits of the search holds H.
        RecoveryError: if the products contradict each other.
    """
    order = layout.by_node()
    start = Structure(layout.n, 0, border=len(layout.border), order=order, width=layout.width)
    points = [random_point(products, given[0], generator), *given, random_point(products, given[-1], generator)]
    for widest, groups in (*LADDER, (None, 0)):
        seed = int(torch.randint(2**31, (), generator=generator))
        found = _band(products, points, start, widest, seed)
        if found is None:
            arranged = _any_order(products, points, start, groups)
            if arranged is not None and arranged.bandwidth <= _limit(
                arranged.core
            ):  # in its order, the band is held against the products as any other
                found = _band(products, points, arranged, 4 * max(1, arranged.bandwidth), seed)
        if found is not None:
            return _narrowed(found, layout)
    raise AssertionError("the last look for a band finds one or raises")


def _band(
    products: Products, points: list[Tensor], start: Structure, widest: int | None, seed: int
) -> Structure | None:
    """The band, or loop, in the order given, from its bandwidth on, or None where it is wider than `widest`."""
    generator = torch.Generator().manual_seed(seed)
    structure, seen = start, []
    for point in points:
        witness = testify(products, point, generator)
        while leak := witness.leak(H := read_directly(structure, products, point)):
            following = _next_bandwidth(structure.bandwidth, structure.core, leak)
            if widest is not None and following > widest and structure.bandwidth < widest:
                following = widest
            if (widest is not None and following > widest) or not _fits(structure, following):
                return None
            structure = replace(structure, bandwidth=following)
        wider = min(max(1, 2 * structure.bandwidth), structure.core - 1)
        if wider > structure.bandwidth and _fits(structure, wider) and witness.is_doubtful(H):
            H = read_directly(replace(structure, bandwidth=wider), products, point)  # what noise may hide
        seen.append(significant(witness, H, structure))
    masks = np.zeros((len(seen), max(map(len, seen)), structure.core), dtype=bool)
    for padded, one in zip(masks, seen, strict=True):
        padded[: len(one)] = one
    mask: np.ndarray = np.asarray(masks.any(0))
    if (masks[[0, -1]] != mask).any():  # entries come and go (hinges): each node may have what another has
        mask = np.tile(fold(mask, structure.width), -(-structure.core // structure.width))[:, : structure.core]
    return _masked(structure, mask)


def _fits(structure: Structure, bandwidth: int) -> bool:
    """Whether a band so wide does not meet itself on the other side of the loop."""
    return not structure.periodic or 2 * bandwidth < structure.core


def _masked(structure: Structure, mask: np.ndarray) -> Structure:
    """The structure with the bandwidth of the mask `(rows, m)`, and its zeros."""
    mask[0] = True
    k = int(np.nonzero(mask.any(1))[0].max())
    pattern = None if structure.periodic and mask[: k + 1].all() else repeated(mask[: k + 1].copy(), structure.width)
    device = None if structure.order is None else structure.order.device
    return replace(structure, bandwidth=k, mask=None if pattern is None else torch.from_numpy(pattern).to(device))


def _narrowed(structure: Structure, layout: Layout) -> Structure:
    """With the unknowns within a node in the order that suits them, where leaves of a tree make up a node."""
    natural = structure.width > 1 and structure.border == len(layout.border) and not structure.periodic
    if layout.is_tensor or not natural or structure.mask is None:
        return structure
    mask = structure.mask.cpu().numpy()
    columns = best_columns(mask, layout.width)
    order = layout.by_node(columns)
    d, j = np.nonzero(mask & _inside(mask))
    old = structure.numbers(torch.device("cpu")).numpy()
    return _ordered(structure, old[j + d], old[j], order)


def _ordered(structure: Structure, row: np.ndarray, column: np.ndarray, order: Tensor | None) -> Structure:
    """The structure, no loop, with the given entries, in the user's numbers, in another order."""
    new = replace(structure, order=order, mask=None)
    place = new.numbers(torch.device("cpu")).argsort().numpy()
    i, j, m = place[row], place[column], new.core
    inside = (i < m) & (j < m)
    i, j = i[inside], j[inside]
    d = np.abs(i - j)
    mask = np.zeros((int(d.max(initial=0)) + 1, m), dtype=bool)
    mask[d, np.minimum(i, j)] = True
    return _masked(new, mask)


def _inside(mask: np.ndarray) -> np.ndarray:
    rows, m = mask.shape
    inside: np.ndarray = np.add.outer(np.arange(rows), np.arange(m)) < m
    return inside


def _any_order(products: Products, points: list[Tensor], start: Structure, groups: int) -> Structure | None:
    """An order with the band, loop and border there, from the entries of the core, or None where they are too many."""
    core = start.numbers(points[0].device)[: start.core]
    rows, columns, dense = [], [], np.zeros(0, dtype=np.int64)
    for point in points:
        entries = find_entries(products, point, core, groups)
        if entries is None:
            return None
        rows.append(entries.row)
        columns.append(entries.column)
        dense = np.union1d(dense, entries.dense)
    row, column = np.concatenate(rows), np.concatenate(columns)
    found = arrange(row, column, start.core, dense)
    numbers = core.cpu().numpy()
    named = start.numbers(torch.device("cpu")).numpy()[start.core :]
    order = torch.from_numpy(np.concatenate([numbers[found.order], named]))
    natural = torch.equal(order, torch.arange(start.n))
    return replace(
        start,
        bandwidth=found.bandwidth,
        periodic=found.periodic,
        border=found.border + start.border,
        order=None if natural else order.to(points[0].device),
        width=start.width if bool((found.order[:-1] < found.order[1:]).all()) else 1,
    )


def significant(witness: Witness, H: Symmetric, structure: Structure) -> np.ndarray:
    """`(rows, m)`: the cells of the band that the witness would miss; only doubtful ones are held against the noise."""
    eps = torch.finfo(H.dtype).eps
    quiet = torch.zeros_like(witness.x)
    fine, clear = (_above(H, structure, tolerance, quiet) for tolerance in (0.1 * eps ** (2 / 3), eps**0.5))
    if torch.equal(fine.any(1), clear.any(1)):
        return fine.cpu().numpy()
    loud = _above(H, structure, 0.1 * eps ** (2 / 3), witness.noise(H))
    return loud.cpu().numpy()


def _above(H: Symmetric, structure: Structure, tolerance: float, noise: Tensor) -> Tensor:
    """`(k + 1, m)`: cells above `tolerance` times their row, or their column, and above the noise there."""
    least = torch.maximum(tolerance * H.row_sums(), noise)[structure.numbers(H.device)[: structure.core]]
    size = H.band.abs()
    k, m = H.bandwidth, structure.core
    beyond = least[:k] if structure.periodic else torch.full_like(least[:k], float("inf"))
    behind = torch.cat([least, beyond]).unfold(0, m, 1)
    return size > torch.minimum(least, behind[: k + 1])


def _next_bandwidth(bandwidth: int, n: int, leak: float) -> int:
    limit = _limit(n)
    if bandwidth == n - 1:
        raise RecoveryError(
            f"f: expected derivatives that agree with each other to the precision of x, found that a full matrix of "
            f"{n} unknowns differs from them by {leak:.3g}; does f compute on in a lower precision on the way?"
        )
    if bandwidth >= limit:
        raise BandwidthError(
            f"expected a banded Hessian, found entries of size {leak:.3g} farther than {bandwidth} from the "
            f"diagonal (n = {n}), and no order of the unknowns that brings them closer; terms of f should couple "
            "few unknowns each; name those that couple to everything in border=...; or pass a larger bandwidth "
            "where you know it",
            leak=leak,
            bandwidth=bandwidth,
            needed=None,
        )
    return min(max(1, 2 * bandwidth), limit)


def _limit(n: int) -> int:
    return n - 1 if n <= DENSE else WIDEST


def random_point(products: Products, x: Tensor, generator: torch.Generator) -> Tensor:
    """A point around x, as far away as f stays finite (barriers and logarithms end somewhere)."""
    probe = gaussian(x.shape[-1], x, generator)[None]
    direction = gaussian(x.shape[-1], x, generator) * (1 + x.abs())
    for point in _nearer(x, direction):
        try:
            product = products(point, probe)
        except Exception:
            continue  # f refuses the point, for whatever reason of its own; nearer to x it must not
        if bool(torch.isfinite(product).all()):
            return point
    return x


def _nearer(x: Tensor, direction: Tensor) -> Iterator[Tensor]:
    for scale in (1.0, 0.1, 1e-2, 1e-3, 1e-4):
        yield x + scale * direction
