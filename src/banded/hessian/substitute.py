"""Recovery by substitution: from about half the products. Indices only, no autograd."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banded.hessian.coloring import Coloring
from banded.hessian.recover import rows_and_columns, take
from banded.hessian.structure import Structure

SPREAD = 1e4  # of the diagonal, that may cost as many units of the last place
RANGE = {torch.float32: 50, torch.float64: 400}  # binary orders that damping may span


class Symmetric:
    """Solves for the entries by substitution, from k + 1 products for a full band.

    Powell & Toint 1979 (SIAM J. Numer. Anal. 16:1060-1074); Coleman & Moré 1984.
    Under a two-sided colouring, row j of the product for the colour of i,

        P[c(i), j] = H[j, i] + H[j, l],

    has one unknown i behind j and at most one l before it of that colour. So each
    entry has at most one predecessor, the entries form chains, and along a chain an entry is
    an alternating sum of products, from either end:

        h_t = P_t - P_{t-1} + P_{t-2} - …          (from the front)
        h_t = P_{t+1} - P_{t+2} + P_{t+3} - …      (from the back).

    What lies in the first half of all unknowns is summed from the front, the rest from the back. A chain has
    one equation more than entries: how far the two sums disagree where they meet is an error estimate.

    What is recovered is W H W, with W a diagonal of powers of two. Where the
    diagonal of H spreads over many orders, W holds them near H_ii^-1/2.
    Besides, W rises from both ends towards the middle: so errors made
    early weigh less and less along the chain.

    Args:
        structure: where there are entries; no loop.
        coloring: a two-sided colouring of it.
        like: a tensor with the dtype and device of the products.
        size: `(m,)` positive, near |H_ii|, or None.
        damped: whether W rises.
    """

    def __init__(
        self,
        structure: Structure,
        coloring: Coloring,
        like: Tensor,
        size: Tensor | None = None,
        *,
        damped: bool = True,
        chains: "list[Chains] | None" = None,
    ) -> None:
        self.mix: Tensor | None = None
        self.coloring = coloring
        self._structure, self._like, self._size, self._damped = structure, like, size, damped
        self.scale = _weights(structure, coloring, like, size, damped)
        self._bare = _chains(structure, coloring, like.device) if chains is None else chains
        self._chains = [chain.weighted(self.scale, like) for chain in self._bare]
        place = torch.arange(structure.core, device=like.device)
        self._diagonal = coloring.colors * structure.n + structure.numbers(like.device)[: structure.core]
        self._cells = place * (structure.bandwidth + 1)

    def __call__(self, products: Tensor) -> Tensor:
        """The band `(..., k + 1, m)`, from products `(..., c, n)`."""
        batch, m, rows = products.shape[:-2], self._structure.core, self._structure.bandwidth + 1
        band = products.new_zeros(*batch, m * rows + 1)  # the last cell takes what pads the chains
        diagonal = take(products, self._diagonal)
        band.index_copy_(len(batch), self._cells, diagonal if self.scale is None else diagonal / self.scale)
        for chain in self._chains:
            values, _ = chain.sums(products)
            band.index_copy_(len(batch), chain.cells.reshape(-1), values.reshape(*batch, -1))
        return band[..., :-1].reshape(*batch, m, rows).mT

    def gap(self, products: Tensor, band: Tensor) -> float:
        """The largest disagreement of the two sums of a chain, relative to sqrt(|H_ii H_jj|)."""
        most = 0.0
        diagonal = band[..., 0, :].abs().sqrt()
        for chain in self._chains:
            _, gaps = chain.sums(products)
            size = diagonal[..., chain.meeting[0]] * diagonal[..., chain.meeting[1]]
            ratio = gaps.abs() / torch.where(size > 0, size, 1)
            most = max(most, float(ratio.max()))
        return most

    def undamped(self) -> "Symmetric":
        """One whose probes are of one size, for functions that mix far unknowns on the way."""
        return Symmetric(self._structure, self.coloring, self._like, damped=False, chains=self._bare)

    def rescaled(self, band: Tensor) -> "Symmetric | None":
        """One with W from the diagonal of H, where that spreads too far for this one's."""
        diagonal = band[..., 0, :].abs().reshape(-1, self._structure.core).amax(0)
        known = self._size
        scaled = diagonal if known is None else diagonal / known
        least, most = (float(extreme) for extreme in torch.aminmax(scaled))
        if most <= SPREAD * least or not 0 < most < float("inf"):
            return None
        present = scaled > 0
        if most <= SPREAD * float(scaled[present].min()):
            return None
        size = torch.where(present, diagonal, diagonal[scaled.argmax()])
        return Symmetric(
            self._structure, self.coloring, self._like, size, damped=self._damped, chains=self._bare
        )


@dataclass(frozen=True, eq=False)
class Chains:
    """Chains of about the same length T, side by side: C of them, aligned where their sums meet.

    Attributes:
        half: entries above this are summed from the front.
        positions: `(T + 1, C)`: of the equations in the products, flat.
        rows: `(T + 1, C)`: the place of each equation's row.
        signs: `(T + 1, C)`: alternating; 0 where there is none.
        cells: `(T, C)`: of the entries, flat in a band laid out column after column.
        ends: `(2, T, C)`: the places of the entry's row and column.
        front, back: what equations and sums are multiplied with, signs included.
    """

    half: int
    positions: Tensor
    rows: Tensor
    signs: Tensor
    cells: Tensor
    ends: Tensor
    front: Tensor | None = None
    back: Tensor | None = None

    @property
    def meeting(self) -> Tensor:
        """`(2, C)`: the places of row and column of the entries where the two sums meet."""
        return self.ends[:, min(self.half, len(self.cells) - 1)]

    def weighted(self, scale: Tensor | None, like: Tensor) -> "Chains":
        """The same for products with probes that have been multiplied with `scale`."""
        front, back = self.signs.to(like), self.signs[:-1].to(like)
        if scale is not None:
            front = front * scale[self.rows]
            back = back / (scale[self.ends[0]] * scale[self.ends[1]])
        return replace(self, front=front, back=back)

    def sums(self, products: Tensor) -> tuple[Tensor, Tensor]:
        """The entries `(..., T, C)`, and `(..., C)` by how much the sums from both ends differ in the middle."""
        assert self.front is not None and self.back is not None
        terms = take(products, self.positions) * self.front
        half = self.half
        first = terms[..., :half, :].cumsum(-2)
        second = terms[..., half + 1 :, :].flip(-2).cumsum(-2).flip(-2).neg_()
        values = torch.cat([first, second], -2) * self.back
        meeting = terms[..., half, :]
        if half:
            meeting = meeting + first[..., -1, :]
        if half < len(self.cells):
            meeting = meeting - second[..., 0, :]
        return values, meeting * self.back[min(half, len(self.cells) - 1)]


def _weights(structure: Structure, coloring: Coloring, like: Tensor, size: Tensor | None, damped: bool) -> Tensor | None:
    """W `(m,)`, powers of two."""
    m = structure.core
    exponent = torch.zeros(m, dtype=torch.float64, device=like.device)
    if size is not None:  # no entry of W H W may leave the range of its dtype
        exponent += (-0.5 * size.double().log2()).round().clamp(-60, 60)
    if damped:
        place = torch.arange(m, device=like.device)
        rise = torch.minimum(place, m - 1 - place) * min(1 / coloring.count, 2 * RANGE[like.dtype] / m)
        exponent += rise.floor() - (rise.max() / 2).floor()
    return torch.exp2(exponent).to(like) if damped or size is not None else None


def _chains(structure: Structure, coloring: Coloring, device: torch.device) -> list[Chains]:
    """All entries beside the diagonal, as chains, those of similar length together."""
    column, d = structure.entries(device).mT.nonzero().unbind(1)
    column, d = column[d > 0], d[d > 0]
    row = column + d
    c, colors = coloring.count, coloring.colors
    behind, before = column * c + colors[row], row * c + colors[column]
    for keys in (behind, before, torch.arange(structure.core, device=device) * c + colors):
        if len(keys) and int(torch.bincount(keys).max()) > 1:
            raise AssertionError("the colouring does not make chains of the entries")
    entry = torch.arange(len(column), device=device)
    last = torch.full((structure.core * c,), -1, device=device).index_copy_(0, before, entry)
    rank, head = _rank(last[behind])
    front = torch.bincount(head, weights=(2 * column < structure.core).double(), minlength=len(entry)).long()
    length = torch.bincount(head, minlength=len(entry))
    number = structure.numbers(device)
    back = length - front
    kind = _magnitude(front) * 64 + _magnitude(back)
    chains = []
    for which in kind[length > 0].unique():
        heads = ((kind == which) & (length > 0)).nonzero()[:, 0]
        mine = torch.isin(head, heads).nonzero()[:, 0] if len(heads) < len(entry) else entry
        lane = torch.searchsorted(heads, head[mine])
        half = int(front[heads].max())
        step = rank[mine] + half - front[heads][lane]
        shape = (half + int(back[heads].max()), len(heads))
        positions = torch.zeros((shape[0] + 1, shape[1]), dtype=torch.int64, device=device)
        rows, signs = torch.zeros_like(positions), torch.zeros_like(positions)
        cells = torch.full(shape, structure.core * (structure.bandwidth + 1), device=device)
        ends = torch.zeros((2, *shape), dtype=torch.int64, device=device)
        i, j = row[mine], column[mine]
        cells[step, lane] = j * (structure.bandwidth + 1) + d[mine]
        ends[0, step, lane], ends[1, step, lane] = i, j
        is_last = rank[mine] == length[heads][lane] - 1
        for at, own, other in ((slice(None), j, i), (is_last, i, j)):
            t = step[at] + (own is i)
            positions[t, lane[at]] = colors[other[at]] * structure.n + number[own[at]]
            rows[t, lane[at]] = own[at]
            signs[t, lane[at]] = 1 - 2 * (t % 2)
        chains.append(Chains(half, positions, rows, signs, cells, ends))
    return chains


def _magnitude(length: Tensor) -> Tensor:
    """0 for 0, 1 for 1, 2 for 2 and 3, 3 for 4 to 7, …"""
    return torch.where(length > 0, length.clamp(min=1).double().log2().floor().long() + 1, 0)


def _rank(previous: Tensor) -> tuple[Tensor, Tensor]:
    """How many entries of its chain precede each one, and which is the first (Wyllie 1979: pointer jumping)."""
    entry = torch.arange(len(previous), device=previous.device)
    head = torch.where(previous >= 0, previous, entry)
    rank = (previous >= 0).long()
    while len(entry):
        rank = rank + rank[head]
        further = head[head]
        if torch.equal(further, head):
            break
        head = further
    return rank, head
