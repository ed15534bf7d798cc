"""From products to the band. Indices only, no autograd.

A recovery has its probes and turns the products with them into the band, both along the
chain: products are `(..., c, n)`, with the user's numbering of the n unknowns,
and the band is `(..., k + 1, m)` of the core, laid out column after column, as LAPACK takes
it without a copy.
"""

from typing import Protocol

import torch
from torch import Tensor

from banded.hessian.coloring import Coloring
from banded.hessian.structure import Structure


class Recovery(Protocol):
    """What `plan` needs to know of a method.

    Attributes:
        mix: `(c, colours)`: each probe as a combination of the colours' indicators, or None for those themselves.
        scale: `(m,)`: what the probes are multiplied with, place by place, or None for ones.
        coloring: which unknowns of the core share a probe.
    """

    mix: Tensor | None
    scale: Tensor | None
    coloring: Coloring

    def __call__(self, products: Tensor) -> Tensor:
        """The band `(..., k + 1, m)`, from products `(..., c, n)`."""
        ...

    def gap(self, products: Tensor, band: Tensor) -> float | None:
        """How far redundant equations disagree, relative to sqrt(|H_ii H_jj|): an error estimate, or None."""
        ...

    def rescaled(self, band: Tensor, spread: float = ...) -> "Recovery | None":
        """The recovery to repeat with, where the scale of H takes digits from this one; else None."""
        ...

    def sources(self) -> Tensor:
        """`(k + 1, m)`: the colour under which each cell of the band is read, -1 where it is zero."""
        ...

    def links(self) -> Tensor:
        """`(4, L)`: d and j of the cells that others are subtracted from, and of these others."""
        ...


class Direct:
    """Reads every entry off a product that shows it alone.

    `products[c, i]` is the sum of H[i, j] over the j of colour c. Under a star
    colouring H[i, j] is alone in it for the colour of j in row i, or for the colour
    of i in row j (Curtis, Powell & Reid 1974; Coleman & Moré 1984).

    Args:
        structure: where there are entries.
        coloring: a star colouring of it.
        device: of the products.
        smaller: read from the row with the smaller products, where there are two readings: for products whose
            errors are as large as the row's largest.
    """

    def __init__(
        self, structure: Structure, coloring: Coloring, device: torch.device, *, smaller: bool = False
    ) -> None:
        self.mix: Tensor | None = None
        self.scale: Tensor | None = None
        self.coloring = coloring
        self._n = structure.n
        self._numbers = structure.numbers(device)[: structure.core]
        entries = structure.entries(device)
        self._index = _reading(structure, coloring, device, lower=True)
        self._other = None
        if smaller or not coloring.plain:
            other = _reading(structure, coloring, device, lower=False)
            if not coloring.plain:
                lower, upper = _alone(structure, coloring, entries)
                if not bool((lower | upper | ~entries).all()):
                    raise AssertionError("the colouring does not separate the entries")
                self._index, other = (
                    torch.where(lower.mT, self._index, other),
                    torch.where(upper.mT, other, self._index),
                )
            self._other = other if smaller else None
        self._empty = ~entries.mT.contiguous()

    def __call__(self, products: Tensor) -> Tensor:
        """The band `(..., k + 1, m)`, from products `(..., c, n)`."""
        entries = take(products, self._index)
        if self._other is not None:
            entries = torch.where(self._is_lower_smaller(products), entries, take(products, self._other))
        return entries.masked_fill_(self._empty, 0).mT

    def _is_lower_smaller(self, products: Tensor) -> Tensor:
        """`(..., m, k + 1)`: whether row j + d of the products is smaller than row j."""
        m, rows = self._index.shape
        size = products.abs().amax(-2)[..., self._numbers]
        ahead = torch.cat([size, size[..., : rows - 1]], -1).unfold(-1, m, 1).mT
        return ahead <= size[..., None]

    def gap(self, products: Tensor, band: Tensor) -> None:
        """None: nothing is read twice."""
        return

    def rescaled(self, band: Tensor, spread: float = 0) -> None:
        """Never: no two entries are added."""
        return

    def sources(self) -> Tensor:
        """`(k + 1, m)`: the colour under which each cell of the band is read, -1 where it is zero."""
        return (self._index.long() // self._n).masked_fill(self._empty, -1).mT

    def links(self) -> Tensor:
        """None are subtracted."""
        return torch.zeros(4, 0, dtype=torch.long)


class Mixed:
    """Reads the entries off combinations of the colours' indicators, after solving for what these would have shown.

    Every row i of the products is mix @ h_i, where h_i holds what direct probes
    would have shown of that row; all rows share one least-squares solution,
    pinv(mix). With `exponentials` of as many colours as there are, that is an inverse
    Fourier transform over the colours ("fourier"); with Gaussian
    combinations, more of them than colours, a random sketch ("random").

    Args:
        direct: reads the entries.
        mix: `(c, colours)`, of full column rank.
        fourier: whether `mix` are the exponentials.
    """

    def __init__(self, direct: Direct, mix: Tensor, *, fourier: bool) -> None:
        self.mix: Tensor | None = mix
        self.scale: Tensor | None = None
        self.coloring = direct.coloring
        self._direct, self._mixture = direct, mix
        self._solve = None if fourier else torch.linalg.pinv(mix.double()).to(mix)

    def __call__(self, products: Tensor) -> Tensor:
        """The band `(..., k + 1, m)`, from products `(..., c, n)`."""
        return self._direct(self._unmix(products))

    def gap(self, products: Tensor, band: Tensor) -> float | None:
        """The largest residual of the least-squares solutions, relative to the row's products; None without any."""
        if len(self._mixture) == self.coloring.count:
            return None
        residual = (products - self._mixture @ self._unmix(products)).abs().amax(-2)
        size = products.abs().amax(-2)
        return float((residual / torch.where(size > 0, size, 1)).max())

    def rescaled(self, band: Tensor, spread: float = 0) -> None:
        """Never."""
        return

    def sources(self) -> Tensor:
        """`(k + 1, m)`: the colour under which each cell of the band is read, -1 where it is zero."""
        return self._direct.sources()

    def links(self) -> Tensor:
        """None are subtracted."""
        return self._direct.links()

    def _unmix(self, products: Tensor) -> Tensor:
        if self._solve is not None:
            unmixed: Tensor = self._solve @ products
            return unmixed
        count = self.coloring.count
        real = products[..., [0, *range(1, count, 2)], :]
        imaginary = torch.zeros_like(real)
        pairs = (count - 1) // 2
        imaginary[..., 1 : pairs + 1, :] = products[..., 2 : 2 * pairs + 1 : 2, :]
        shown: Tensor = torch.fft.irfft(torch.complex(real, imaginary), n=count, dim=-2)
        return shown


def take(products: Tensor, positions: Tensor) -> Tensor:
    """Entries `(..., *positions.shape)` at flat positions of the last two dimensions.

    index_select is 2 to 12 times faster on CPUs than take and gather.
    """
    batch = products.shape[:-2]
    return (
        products.reshape(*batch, -1).index_select(len(batch), positions.reshape(-1)).reshape(*batch, *positions.shape)
    )


def _reading(structure: Structure, coloring: Coloring, device: torch.device, *, lower: bool) -> Tensor:
    """`(m, k + 1)`: flat positions in the products of all cells: row i under the colour of j, or row j under that of i.

    Diagonal by diagonal, and in few bytes, for it is as large as the band.
    """
    column, number = torch.arange(structure.core, device=device), structure.numbers(device)
    fits = coloring.count * structure.n < 2**31
    positions = torch.empty(
        structure.core, structure.bandwidth + 1, dtype=torch.int32 if fits else torch.int64, device=device
    )
    for d in range(structure.bandwidth + 1):
        row = (column + d) % structure.core
        shows, at = (row, column) if lower else (column, row)
        positions[:, d] = coloring.colors[at] * structure.n + number[shows]
    return positions


def _rows_and_columns(structure: Structure, device: torch.device) -> tuple[Tensor, Tensor]:
    """`(k + 1, m)` each: the places that the cells of the band stand for; what lies outside is wrapped."""
    column = torch.arange(structure.core, device=device)
    row = (column + torch.arange(structure.bandwidth + 1, device=device)[:, None]) % structure.core
    return row, column.expand_as(row)


def _alone(structure: Structure, coloring: Coloring, entries: Tensor) -> tuple[Tensor, Tensor]:
    """Whether each cell is the only one of its colour in its row, in the lower and in the upper triangle."""
    row, column = _rows_and_columns(structure, entries.device)
    c, colors = coloring.count, coloring.colors
    below, above = row * c + colors[column], column * c + colors[row]
    seen = torch.zeros(structure.core * c, dtype=torch.int32, device=entries.device)
    ones = entries.to(torch.int32)
    seen.index_add_(0, below.reshape(-1), ones.reshape(-1))
    seen.index_add_(0, above[1:].reshape(-1), ones[1:].reshape(-1))
    return seen[below] == 1, seen[above] == 1
