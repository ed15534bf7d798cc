"""From products to the band. Indices only, no autograd."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from banded.matrix import SymmetricBanded


class Recovery(Protocol):
    """Turns the products of a Hessian with comb probes into its band.

    Attributes:
        spacing: of the comb probes.
        scale: `(n,)`, what their teeth are, or None for ones.
    """

    spacing: int
    scale: Tensor | None

    def __call__(self, products: Tensor) -> SymmetricBanded:
        """The band, from products `(min(spacing, n), n)`."""
        ...

    def rescaled(self, H: SymmetricBanded) -> "Recovery | None":
        """The recovery to repeat with, where the scale of H takes digits from this one; else None."""
        ...


class Direct:
    """Reads every entry off the one product that shows it alone.

    Comb probes of spacing 2k + 1 (Curtis, Powell & Reid 1974): column j is seen
    by product j mod (2k + 1), in rows where no other column of that probe has
    an entry, so `band[d, j] = products[j mod (2k + 1), j + d]`, exactly.
    """

    def __init__(self, n: int, bandwidth: int, device: torch.device) -> None:
        self.scale: Tensor | None = None
        self.spacing = min(2 * bandwidth + 1, n)
        self._entry, self._outside = _gather(n, bandwidth, lambda row, column: (column % self.spacing, row), device)

    def __call__(self, products: Tensor) -> SymmetricBanded:
        """The band, from products `(min(2k + 1, n), n)`."""
        return SymmetricBanded(_take(products, self._entry).masked_fill_(self._outside, 0).mT)

    def rescaled(self, H: SymmetricBanded) -> None:
        """Never: no two entries are added."""
        return


class Symmetric:
    """Solves for the entries by substitution, from k + 1 products instead of 2k + 1.

    Comb probes of spacing s = k + 1 (Powell & Toint 1979; Coleman & Moré 1984).
    Row i of product c sums H[i, i - a] and H[i, i + s - a], where a = (i - c) mod s.
    Written for d = s - a and used twice, by symmetry,

        H[i + d, i] = P[(i + d) mod s, i] - H[i, i - a]
                    = P[(i + d) mod s, i] - P[i mod s, i - a] + H[i - s + d, i - s],

    a running sum along strides of s, from zero above the first row. Rounding
    errors add up along it in absolute size, about sqrt(n / s) units of the last
    place of its largest entry. Where the diagonal spreads over many orders of
    magnitude, S H S is recovered instead, with S a diagonal of powers of two near
    H_ii^-1/2: the diagonal is exact whatever the spread, and gives S.
    """

    SPREAD = 1e4  # of the diagonal, that may cost as many units of the last place

    def __init__(self, n: int, bandwidth: int, device: torch.device, scale: Tensor | None = None) -> None:
        s = self.spacing = bandwidth + 1
        self.scale = scale
        self._plus, self._outside = _gather(n, bandwidth, lambda row, column: (row % s, column), device)
        # a = s - d rows up: column - a = row - s
        self._minus, _ = _gather(n, bandwidth, lambda row, column: (column % s, row - s), device)
        offset = torch.arange(s, device=device)
        above = torch.arange(n, device=device)[:, None] + offset - s < 0
        self._no_minus = above | (offset == 0)  # the diagonal is read off directly
        self._pad = -n % s

    def __call__(self, products: Tensor) -> SymmetricBanded:
        """The band, from products `(k + 1, n)`."""
        if self.scale is not None:
            products = products * self.scale  # S H S, of which the probes were S times a comb
        terms = _take(products, self._plus) - _take(products, self._minus).masked_fill_(self._no_minus, 0)
        n, s = terms.shape
        padded = torch.nn.functional.pad(terms[:, 1:], (0, 0, 0, self._pad))
        terms[:, 1:] = padded.reshape(-(-n // s), s, s - 1).cumsum(0).reshape(n + self._pad, s - 1)[:n]
        band = terms.masked_fill_(self._outside, 0).mT
        if self.scale is not None:
            for d in range(s):
                band[d, : n - d] /= self.scale[: n - d] * self.scale[d:]
        return SymmetricBanded(band)

    def rescaled(self, H: SymmetricBanded) -> "Symmetric | None":
        """One with S from the diagonal of H, where that spreads too far for this one's."""
        diagonal = H.diagonal().abs()
        scaled = diagonal if self.scale is None else diagonal * self.scale**2
        least, most = (float(extreme) for extreme in torch.aminmax(scaled))
        if most <= self.SPREAD * least or not 0 < most < float("inf"):
            return None
        present = scaled > 0
        if most <= self.SPREAD * float(scaled[present].min()):
            return None
        size = torch.where(present, diagonal, diagonal[scaled.argmax()])
        # no entry of S H S may leave the range of its dtype
        exponent = (-0.5 * size.log2()).round().clamp(-60, 60)
        return Symmetric(H.n, H.bandwidth, H.device, scale=torch.exp2(exponent))


RECOVERIES: dict[str, Callable[[int, int, torch.device], Recovery]] = {"direct": Direct, "symmetric": Symmetric}


def _take(products: Tensor, positions: Tensor) -> Tensor:
    """`products.take(positions)`; index_select is 2 to 12 times faster on CPUs."""
    return products.reshape(-1).index_select(0, positions.reshape(-1)).reshape(positions.shape)


def _gather(
    n: int,
    bandwidth: int,
    place: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]],
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Flat positions in `products` for every cell `(j, d)`, and which cells lie outside the matrix.

    Cells are laid out `(n, k + 1)`: transposed, that is the column-major band
    which LAPACK takes without a copy.
    """
    column = torch.arange(n, device=device)[:, None]
    row = column + torch.arange(bandwidth + 1, device=device)
    probe, position = place(row, column)
    return probe * n + position.clamp(0, n - 1), row >= n
