"""Measuring what a matrix leaves out of a Hessian. Sees f only through its products."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from banded.hessian.probes import gaussian
from banded.matrix import Symmetric

Products = Callable[[Tensor, Tensor], Tensor]
"""`(x (..., n), probes (m, n)) -> (..., m, n)`: the Hessian at x times each probe."""

STRETCHES = (3, 5, 7, 11, 13, 17)  # one for each sample of the rounding errors of a product
SPLITS = 16  # samples of another kind; a row of two entries misses all of them once in 65,000 times


@dataclass(frozen=True)
class Witness:
    """A point, a random vector v and H v there, which a matrix has to explain.

    Attributes:
        products: of the Hessian of f.
        x: the point, `(..., n)`.
        v: `(n,)`.
        product: H v, `(..., n)`.
    """

    products: Products
    x: Tensor
    v: Tensor
    product: Tensor

    @cached_property
    def repeatable(self) -> bool:
        """Whether H v comes out the same again, as far as rounding allows."""
        again = self._product(self.x)
        size = float(self.product.abs().max())
        return bool((again - self.product).abs().max() <= torch.finfo(self.x.dtype).eps ** (2 / 3) * size)

    @cached_property
    def rounding(self) -> Tensor:
        """`(..., n)`: how far each row of H v can be trusted, by its changes when all that enters is rounded anew.

        For that, x moves by its own rounding error, and v is stretched, and the product shrunk, by odd
        factors; and v is split in two, at random, whose products have to add up to that of v.
        """
        ulp = torch.finfo(self.x.dtype).eps * torch.where(
            self.x == 0, self.x.abs().mean(-1, keepdim=True), self.x.abs()
        )
        generator = torch.Generator().manual_seed(2)
        noise = torch.zeros_like(self.x)
        for stretch in STRETCHES:
            shift = ulp * gaussian(ulp.shape[-1], ulp, generator).sign()
            again = self._product(self.x + shift, stretch)
            noise = torch.maximum(noise, (again - self.product).abs())
        for _ in range(SPLITS):
            part = torch.where(gaussian(len(self.v), self.v, generator) > 0, self.v, 0)
            both = self.products(self.x, torch.stack([part, self.v - part]))
            noise = torch.maximum(noise, (both[..., 0, :] + both[..., 1, :] - self.product).abs())
        return noise.nan_to_num(0.0, posinf=0.0)  # beyond the edge of the domain there is nothing to learn

    def noise(self, H: Symmetric) -> Tensor:
        """`(..., n)`: the rounding errors of each row, or what those of its neighbours come to on its own scale.

        A term's errors show in every row that it couples, in some of them by chance in no sample.
        """
        _, scale = self._measured(H)
        relative = torch.where(scale > 0, self.rounding / scale, 0)
        pooled = torch.nn.functional.max_pool1d(relative.reshape(-1, 1, H.n), 5, stride=1, padding=2)
        return pooled.reshape(relative.shape) * scale

    def leak(self, H: Symmetric) -> float:
        """Largest entry of `product` - H v that rounding does not explain, or 0.

        A row counts where it differs by more than eps^(2/3) of |H| |v| + |product|
        in that row, and by more than ten times what f itself rounds away there.
        """
        return float(self.leaks(H).max())

    def leaks(self, H: Symmetric) -> Tensor:
        """`(...)`: the same for each problem."""
        difference, leaks = self._unexplained(H)
        return torch.where(leaks, difference.nan_to_num(float("inf")), 0).amax(-1)

    def odd(self, H: Symmetric) -> int | None:
        """The number of the problem of a batch with the largest of these, or None where there are none."""
        difference, leaks = self._unexplained(H)
        worst = torch.where(leaks, difference, 0).reshape(-1, H.n).amax(-1)
        return int(worst.argmax()) if bool(leaks.any()) else None

    def is_doubtful(self, H: Symmetric) -> bool:
        """Whether rounding errors of f have to explain some rows, and might hide a leak there."""
        return bool(self._differences(H)[1].any())

    def error(self, H: Symmetric) -> float:
        """Largest entry of `product` - H v, relative to |H| |v| + |product| in its row."""
        difference, scale = self._measured(H)
        return float((difference / torch.where(scale > 0, scale, 1)).max())

    def _product(self, x: Tensor, stretch: float = 1) -> Tensor:
        return self.products(x, stretch * self.v[None])[..., 0, :] / stretch

    def _measured(self, H: Symmetric) -> tuple[Tensor, Tensor]:
        v = self.v.expand_as(self.x)
        difference = (self.product - H @ v).abs()
        return difference, abs(H) @ v.abs() + self.product.abs()

    def _unexplained(self, H: Symmetric) -> tuple[Tensor, Tensor]:
        difference, leaks = self._differences(H)
        if bool(leaks.any()) and self.repeatable:  # what changes at the same point is no rounding error
            leaks &= ~(difference <= 10 * self.noise(H))
        return difference, leaks

    def _differences(self, H: Symmetric) -> tuple[Tensor, Tensor]:
        difference, scale = self._measured(H)
        return difference, ~(difference <= torch.finfo(self.x.dtype).eps ** (2 / 3) * scale)


def testify(products: Products, x: Tensor, generator: torch.Generator) -> Witness:
    """A witness at x, with a v from `generator`."""
    v = gaussian(x.shape[-1], x, generator)
    return Witness(products, x, v, products(x, v[None])[..., 0, :])
