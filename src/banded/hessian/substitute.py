"""Recovery by substitution: from about half the products. Indices only, no autograd."""

from dataclasses import dataclass

import torch
from torch import Tensor

from banded.errors import RecoveryError
from banded.hessian.coloring import Coloring
from banded.hessian.recover import take
from banded.hessian.structure import Structure

SPREAD = 1e4  # of the diagonal, beyond which products are made anew for their last digits
NOISE = 1e3  # eps of the largest entry, below which another may be nothing but rounding errors
RANGE = {torch.float32: 50, torch.float64: 400}  # binary orders that damping may span


class Substitution:
    """Solves for the entries by substitution, from k + 1 products for a full band.

    Powell & Toint 1979 (SIAM J. Numer. Anal. 16:1060-1074); Coleman & Moré 1984.
    Under a two-sided colouring, row j of the product for the colour of i > j,

        P[c(i), j] = H[j, i] + H[j, l],

    has one unknown i behind j and at most one l before it of that colour, and so it is
    with row i of the product for the colour of j. So every entry has at most one
    predecessor and one successor, the entries form chains, and along a chain an
    entry is an alternating sum of products, from either end:

        H[i, j] = P[c(i), j] - (its predecessor)  = P - P + P - …
        H[i, j] = P[c(j), i] - (its successor)    = P - P + P - ….

    Entries in the first half of all unknowns are summed from the front, the rest from the
    back. A chain has one equation more than entries: how far it is from being
    met is an error estimate.

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
        sums: of the same structure and colouring, if they are there already.
    """

    def __init__(
        self,
        structure: Structure,
        coloring: Coloring,
        like: Tensor,
        size: Tensor | None = None,
        *,
        damped: bool = True,
        sums: "Sums | None" = None,
    ) -> None:
        self.mix: Tensor | None = None
        self.coloring = coloring
        self._structure, self._like, self._size, self._damped = structure, like, size, damped
        self._sums = _sums(structure, coloring, like.device) if sums is None else sums
        self.scale = _weights(structure, coloring, like, size, damped)
        self._front = self._sums.signs.to(like)
        self._back = self._front
        if self.scale is not None:
            self._front = self._front * self.scale[self._sums.rows]
            self._back = self._back / (self.scale[self._sums.ends[0]] * self.scale[self._sums.ends[1]])

    def __call__(self, products: Tensor) -> Tensor:
        """The band `(..., k + 1, m)`, from products `(..., c, n)`."""
        sums, batch = self._sums, products.shape[:-2]
        terms = take(products, sums.positions).mul_(self._front)
        values = products.new_empty(*batch, len(sums.positions) + self._structure.core + 1)
        for block in sums.blocks:
            here = slice(block.start, block.start + block.steps * block.lanes)
            shape = (*batch, block.steps, block.lanes)
            torch.cumsum(terms[..., here].view(shape), -2, out=values[..., here].view(shape))
        values[..., : len(sums.positions)].mul_(self._back)
        diagonal = take(products, sums.diagonal)
        values[..., len(sums.positions) : -1] = diagonal if self.scale is None else diagonal / self.scale
        values[..., -1] = 0
        return values.index_select(len(batch), sums.cells.reshape(-1)).reshape(*batch, *sums.cells.shape).mT

    def gap(self, products: Tensor, band: Tensor) -> float | None:
        """The largest residual of the equations left over, relative to the sizes of row and column, or None."""
        sums, batch = self._sums, products.shape[:-2]
        if not sums.spare.shape[1]:
            return None
        position, row, column, here, other = sums.spare
        cells = torch.nn.functional.pad(band.mT.reshape(*batch, -1), (0, 1))
        shown = take(products, position)
        if self.scale is not None:  # the row's other unknown of that colour is `column`, or one at the entry `other`
            shown = shown / self.scale[column]
            weight = self.scale[sums.further] / self.scale[column]
        else:
            weight = torch.ones_like(shown)
        residual = (shown - cells[..., here] - weight * cells[..., other]).abs()
        size = torch.stack([_sizes(one.abs()) for one in band.reshape(-1, *band.shape[-2:])]).sqrt()
        scale = size[:, row] * size[:, column]
        return float((residual.reshape(scale.shape) / torch.where(scale > 0, scale, 1)).max())

    def undamped(self) -> "Substitution":
        """One whose probes do not rise, for functions that mix far unknowns on the way."""
        return Substitution(self._structure, self.coloring, self._like, self._size, damped=False, sums=self._sums)

    def rescaled(self, band: Tensor, spread: float = SPREAD) -> "Substitution | None":
        """One with W from the sizes of H, where these spread too far for this one's.

        Raises:
            RecoveryError: if the problems of a batch would need different W.
        """
        problems = band.reshape(-1, *band.shape[-2:])
        if not self._is_uneven(problems[:, 0].abs().amax(0), spread):  # mostly the diagonal says enough
            return None
        size = _sizes(problems.abs().amax(0))
        if not self._is_uneven(size, spread):
            return None
        most = size[(size if self._size is None else size / self._size).argmax()]
        size = torch.where(size > 0, size, most)
        other = Substitution(self._structure, self.coloring, self._like, size, damped=self._damped, sums=self._sums)
        if len(problems) > 1 and any(other._is_uneven(_sizes(one.abs()), SPREAD) for one in problems):
            raise RecoveryError("the problems of the batch are scaled differently")
        return other

    def _is_uneven(self, size: Tensor, spread: float) -> bool:
        scaled = size if self._size is None else size / self._size
        least, most = torch.stack(torch.aminmax(scaled)).tolist()
        if most <= spread * least or not 0 < most < float("inf"):
            return False
        return bool(most > spread * float(scaled[scaled > 0].min()))

    def sources(self) -> Tensor:
        """`(k + 1, m)`: the colour under which each cell of the band is read, -1 where it is zero."""
        sums, n = self._sums, self._structure.n
        places = torch.cat([sums.positions.cpu().long() // n, sums.diagonal.cpu().long() // n, torch.full((1,), -1)])
        return places[sums.cells.cpu().long()].mT

    def links(self) -> Tensor:
        """`(4, L)`: d and j of the cells that others are subtracted from, and of these others."""
        sums = self._sums
        place = sums.cells.cpu().long()
        inside = place < len(sums.positions)
        cell = torch.full((2, len(sums.positions)), -1)
        cell[:, place[inside]] = inside.nonzero().T.flip(0)
        pairs = [torch.zeros(4, 0, dtype=torch.long)]
        for block in sums.blocks:
            lanes = cell[:, block.start : block.start + block.steps * block.lanes].reshape(2, block.steps, -1)
            both = torch.cat([lanes[:, 1:], lanes[:, :-1]]).reshape(4, -1)
            pairs.append(both[:, both[0] >= 0])
        return torch.cat(pairs, 1)


@dataclass(frozen=True)
class Block:
    """Sums of about the same length, side by side: `steps` rows of `lanes`, from `start` on."""

    start: int
    steps: int
    lanes: int


@dataclass(frozen=True, eq=False)
class Sums:
    """What is added to what, as flat lists of E terms.

    Attributes:
        blocks: which terms are summed, one row onto the next.
        positions: `(E,)`: of the terms in the products.
        rows: `(E,)`: the place of the term's row.
        signs: `(E,)`: alternating along a sum; 0 where there is none.
        ends: `(2, E)`: places of row and column of the entry that the sum up to there gives.
        diagonal: `(m,)`: positions of the diagonal in the products.
        cells: `(m, k + 1)`: for each cell of the band, its place among the sums, the diagonal, and one zero.
        spare: `(5, S)`: equations left over: position in the products, places of row and column, cells of the
            entries in it.
        further: `(S,)`: the column of the second entry.
    """

    blocks: tuple[Block, ...]
    positions: Tensor
    rows: Tensor
    signs: Tensor
    ends: Tensor
    diagonal: Tensor
    cells: Tensor
    spare: Tensor
    further: Tensor


def _sizes(entries: Tensor) -> Tensor:
    """`(m,)`: |H_ii|, and where entries beside it ask for more, H_ij² over the largest in row j, from |H| `(k + 1, m)`.

    In a positive definite matrix none do. In others a diagonal near zero would
    raise its row, and with it the rounding errors of all that is found after it.
    """
    diagonal, m = entries[0], entries.shape[1]
    clear = torch.where(entries > NOISE * torch.finfo(entries.dtype).eps * entries.max(), entries, 0)
    pairs = []
    for d in range(1, len(entries)):
        pairs += [(clear[d, : m - d], slice(m - d), slice(d, m)), (clear[d, : m - d], slice(d, m), slice(m - d))]
    largest, size = diagonal.clone(), diagonal.clone()
    for entry, here, _ in pairs:
        largest[here] = torch.maximum(largest[here], entry)
    for entry, here, there in pairs:
        share = entry / torch.where(entry > 0, largest[there], 1)
        size[here] = torch.maximum(size[here], share * entry)
    return size


def _weights(
    structure: Structure, coloring: Coloring, like: Tensor, size: Tensor | None, damped: bool
) -> Tensor | None:
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


def _sums(structure: Structure, coloring: Coloring, device: torch.device) -> Sums:
    """The chains of all entries beside the diagonal, cut in two, those of similar length together."""
    m, c, rows = structure.core, coloring.count, structure.bandwidth + 1
    # millions of entries, a dozen numbers for each
    whole = torch.int32 if max(c * structure.n, (m + 1) * (rows + c)) < 2**31 else torch.int64
    entries = structure.entries(device)
    column, d = (one.to(whole) for one in entries[1:].mT.nonzero().unbind(1))
    d += 1
    row = column + d
    colors, number = coloring.colors.to(whole), structure.numbers(device).to(whole)
    previous, following = _neighbours(row, column, colors, c)
    first = 2 * column < m
    # a half of a chain starts where the chain does, and ends where the other half does
    step, lane = _rank(torch.where(first, previous, following), first)
    blocks, order = _blocks(step, lane)
    del lane
    place = torch.full((sum(b.steps * b.lanes for b in blocks),), -1, dtype=whole, device=device)
    place[order] = torch.arange(len(column), dtype=whole, device=device)
    used = place >= 0
    place.clamp_(min=0)

    def laid(values: Tensor) -> Tensor:
        return values[place].mul_(used) if len(values) else torch.zeros_like(place)

    cells = torch.full((m, rows), len(place) + m, dtype=whole, device=device)
    cells[:, 0] = len(place) + torch.arange(m, device=device)
    cells[column, d] = order.to(whole)
    del order
    above, below = colors[row] * structure.n + number[column], colors[column] * structure.n + number[row]
    spare, further = _spare(row, column, d, first, previous, following, above, below, m, rows)
    del previous, following
    return Sums(
        blocks=blocks,
        positions=laid(torch.where(first, above, below)),
        rows=laid(torch.where(first, column, row)),
        signs=laid((1 - 2 * (step % 2)).to(torch.int8)),
        ends=torch.stack([laid(row), laid(column)]),
        diagonal=colors * structure.n + number[:m],
        cells=cells,
        spare=spare,
        further=further,
    )


def _neighbours(row: Tensor, column: Tensor, colors: Tensor, c: int) -> tuple[Tensor, Tensor]:
    """`(E,)` each: the entry that shares an equation with this one in row j, and in row i; -1 where none does."""
    m = len(colors)
    behind, before = column * c + colors[row], row * c + colors[column]
    diagonal = torch.arange(m, dtype=row.dtype, device=row.device) * c + colors
    entry = torch.arange(len(row), dtype=row.dtype, device=row.device)
    found = torch.full((m * c,), -1, dtype=row.dtype, device=row.device)
    for keys in (behind, before):
        taken = torch.zeros(m * c, dtype=torch.bool, device=row.device)
        taken[keys] = True
        taken[diagonal] = True
        if int(taken.sum()) < len(keys) + m:
            raise AssertionError("the colouring does not make chains of the entries")
    found[before] = entry
    previous = found[behind]
    linked = previous >= 0
    following = torch.full_like(entry, -1)
    following[previous[linked]] = entry[linked]
    return previous, following


def _spare(
    row: Tensor,
    column: Tensor,
    d: Tensor,
    first: Tensor,
    previous: Tensor,
    following: Tensor,
    above: Tensor,
    below: Tensor,
    m: int,
    rows: int,
) -> tuple[Tensor, Tensor]:
    """The equation of each chain that no sum uses: where its halves meet, or at the end that they do not start from."""
    none = m * rows  # a zero behind the band
    cell = column * rows + d
    last = first & ((following < 0) | ~first[following.clamp(min=0)])  # row i, colour of j: this entry and the next
    after = following[last]
    at_last = torch.stack(
        [below[last], row[last], column[last], cell[last], torch.where(after >= 0, cell[after.clamp(min=0)], none)]
    )
    head = ~first & (previous < 0)  # row j, colour of i: this entry alone
    at_head = torch.stack([above[head], column[head], row[head], cell[head], torch.full_like(cell[head], none)])
    further = torch.cat([torch.where(after >= 0, row[after.clamp(min=0)], column[last]), row[head]])
    return torch.cat([at_last, at_head], 1), further


def _blocks(step: Tensor, lane: Tensor) -> tuple[tuple[Block, ...], Tensor]:
    """Sums of lengths up to 1, 4, 16, … together; and `(E,)` where each entry comes in all the blocks, flat."""
    order = torch.zeros_like(step)
    length = torch.zeros(int(lane.max()) + 1 if len(lane) else 0, dtype=step.dtype, device=step.device)
    length.scatter_reduce_(0, lane.long(), step + 1, "amax")
    kind = torch.where(length > 0, (length.clamp(min=1).double().log2() / 2).ceil().long(), -1)
    blocks, start = [], 0
    for which in range(int(kind.max()) + 1 if len(kind) else 0):
        mine = kind == which
        lanes = int(mine.sum())
        if lanes:
            number = (mine.cumsum(0) - 1).to(step.dtype)
            inside = mine[lane]
            order[inside] = start + step[inside] * lanes + number[lane[inside]]
            blocks.append(Block(start, int(length[mine].max()), lanes))
            start += blocks[-1].steps * lanes
    return tuple(blocks), order


def _rank(previous: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """How many entries precede each one in its half of a chain, and the first one (pointer jumping, Wyllie 1979)."""
    entry = torch.arange(len(previous), dtype=previous.dtype, device=previous.device)
    head = torch.where(previous >= 0, previous, entry)
    head = torch.where(first[head] == first, head, entry)
    rank = (head != entry).to(previous.dtype)
    while len(entry):
        rank = rank + rank[head]
        further = head[head]
        if torch.equal(further, head):
            break
        head = further
    return rank, head
