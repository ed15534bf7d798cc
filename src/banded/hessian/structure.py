"""What is known of a Hessian before it is computed: which entries may be other than zero."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from banded.matrix import Bordered, Periodic, Reordered, Symmetric, SymmetricBanded

WIDEST_NODE = 32  # unknowns of a node, where it has to be found
REGULAR = 1.25  # times the entries there are, that a repeated pattern may have


@dataclass(frozen=True, eq=False)
class Structure:
    """A band, or a loop, in some order of the unknowns, perhaps with a border.

    Along the chain the unknowns have places 0..n - 1: first the core, m = n - p
    of them, then the border.

    Attributes:
        n: number of unknowns.
        bandwidth: half-bandwidth k of the core.
        periodic: whether the core's band wraps round; then 2k < m.
        border: p, unknowns at the last places that may couple to everything.
        order: `(n,)`: the user's number of the unknown at each place; None where both agree.
        mask: `(k + 1, m)`, True where `band[d, j]` may be other than zero; None: everywhere.
        width: unknowns of one node, after which the pattern is expected to repeat.
    """

    n: int
    bandwidth: int
    periodic: bool = False
    border: int = 0
    order: Tensor | None = None
    mask: Tensor | None = None
    width: int = 1

    @property
    def core(self) -> int:
        """Unknowns in the core, m = n - p."""
        return self.n - self.border

    @cached_property
    def place(self) -> Tensor | None:
        """`(n,)`: the place of each of the user's unknowns, the inverse of `order`."""
        return None if self.order is None else self.order.argsort()

    def numbers(self, device: torch.device) -> Tensor:
        """`(n,)`: `order`, also where it is None."""
        return torch.arange(self.n, device=device) if self.order is None else self.order.to(device)

    def entries(self, device: torch.device) -> Tensor:
        """`(k + 1, m)`: the cells `band[d, j]` that lie inside the matrix and may be other than zero."""
        column = torch.arange(self.core, device=device)
        row = column + torch.arange(self.bandwidth + 1, device=device)[:, None]
        inside = torch.ones_like(row, dtype=torch.bool) if self.periodic else row < self.core
        return inside if self.mask is None else inside & self.mask.to(device)

    def assemble(self, band: Tensor, border: Tensor | None, corner: Tensor | None) -> Symmetric:
        """The matrix, in the user's order, from its parts along the chain."""
        matrix: Symmetric = Periodic(band) if self.periodic else SymmetricBanded(band)
        if border is not None and corner is not None:
            matrix = Bordered(matrix, border, corner)
        if self.order is None or self.place is None:
            return matrix
        return Reordered.trusted(matrix, self.order.to(band.device), self.place.to(band.device))

    def __str__(self) -> str:
        words = [f"half-bandwidth {self.bandwidth}"]
        if self.periodic:
            words.append("periodic")
        if self.border:
            words.append(f"border of {self.border}")
        if self.order is not None:
            words.append("reordered")
        return ", ".join(words)


def folded(structure: Structure) -> Structure:
    """A loop laid flat, from both ends at once: a band twice as wide that does not wrap round; others as they are."""
    if not structure.periodic:
        return structure
    m = structure.core
    numbers = structure.numbers(torch.device("cpu"))
    place = torch.arange(m)
    there = torch.where(place % 2 == 0, place // 2, m - 1 - place // 2)
    order = torch.cat([numbers[:m][there], numbers[m:]])
    device = None if structure.order is None else structure.order.device
    return Structure(structure.n, min(2 * structure.bandwidth, m - 1), border=structure.border, order=order.to(device))


def fold(mask: np.ndarray, width: int) -> np.ndarray:
    """`(k + 1, width)`: where any node of `width` unknowns has an entry, from a `mask` `(k + 1, m)`."""
    rows, m = mask.shape
    padded = np.zeros((rows, -(-m // width) * width), dtype=bool)
    padded[:, :m] = mask
    folded: np.ndarray = np.logical_or.reduce(padded.reshape(rows, -1, width), axis=1)
    return folded


def node_width(mask: np.ndarray, width: int) -> tuple[int, bool]:
    """The number of unknowns after which the pattern repeats best, `width` unless that is 1; and whether it does."""
    m = mask.shape[1]
    widths = [width] if width > 1 else [w for w in range(1, WIDEST_NODE + 1) if w == 1 or 4 * w <= m]
    densities = [float(fold(mask, w).sum()) / w for w in widths]
    best = next(i for i, density in enumerate(densities) if density <= 1.02 * min(densities))
    return widths[best], densities[best] * m <= REGULAR * int(mask.sum())


def repeated(mask: np.ndarray, width: int) -> np.ndarray | None:
    """The mask, with entries in every node where any has one, if it repeats; None where nothing is left out."""
    width, regular = node_width(mask, width)
    rows, m = mask.shape
    if regular:
        mask = np.tile(fold(mask, width), -(-m // width))[:, :m]
    outside = np.add.outer(np.arange(rows), np.arange(m)) >= m
    return None if bool(np.all(mask | outside)) else mask
