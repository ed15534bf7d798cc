"""Finding the bandwidth, and measuring what a band leaves out. Sees f only through its products."""

from collections.abc import Callable

import torch
from torch import Tensor

from banded.errors import BandwidthError, RecoveryError
from banded.hessian.probes import comb, gaussian
from banded.hessian.recover import Direct
from banded.matrix import SymmetricBanded

Products = Callable[[Tensor, Tensor], Tensor]
"""`(x, probes (m, n)) -> (m, n)`: the Hessian at x times each probe."""

# The search for a band ends here; up to this many unknowns it may end at a full matrix.
WIDEST = 512
DENSE = 2048


def leakage(H: SymmetricBanded, v: Tensor, product: Tensor) -> float:
    """Largest entry of `product` - H v that rounding does not explain, or 0.

    A row counts where it differs by more than eps^(2/3) of |H| |v| + |product|,
    and by more than 100 eps of the largest such sum: what f itself rounds away
    is below both, and any entry of H that matters is above.
    """
    eps = torch.finfo(v.dtype).eps
    difference = (product - H @ v).abs()
    scale = SymmetricBanded(H.band.abs()) @ v.abs() + product.abs()
    leaks = (difference > eps ** (2 / 3) * scale) & (difference > 100 * eps * scale.max())
    return float(difference[leaks].max()) if bool(leaks.any()) else 0.0


def smallest_bandwidth(H: SymmetricBanded) -> int:
    """The last diagonal of H that holds more than rounding errors, by the measure of `leakage`."""
    eps = torch.finfo(H.dtype).eps
    size, n = H.band.abs(), H.n
    scale = SymmetricBanded(size) @ torch.ones_like(H.band[0])
    for d in range(H.bandwidth, 0, -1):
        entries = size[d, : n - d]
        rows = torch.minimum(scale[d:], scale[: n - d])
        if bool(((entries > eps ** (2 / 3) * rows) & (entries > 100 * eps * scale.max())).any()):
            return d
    return 0


def detect_bandwidth(products: Products, x: Tensor, generator: torch.Generator) -> int:
    """Smallest k whose band explains random products of the Hessian, at x and at random points.

    A random point comes first, and another last: at x itself second derivatives
    may happen to vanish. Costs about 12k products.

    Raises:
        BandwidthError: if no band up to the limit of the search holds H.
    """
    bandwidth = 0
    for point in (_random_point(products, x, generator), x, _random_point(products, x, generator)):
        bandwidth = max(bandwidth, _bandwidth_at(products, point, bandwidth, generator))
    return bandwidth


def _bandwidth_at(products: Products, point: Tensor, start: int, generator: torch.Generator) -> int:
    """Smallest bandwidth that does at one point: doubled from `start` until nothing leaks, then trimmed."""
    n, bandwidth = point.numel(), start
    while True:
        probes = comb(n, 2 * bandwidth + 1, point)
        v = gaussian(n, point, generator)
        rows = products(point, torch.cat([probes, v[None]]))
        H = Direct(n, bandwidth, point.device)(rows[:-1])
        leak = leakage(H, v, rows[-1])
        if not leak:
            return smallest_bandwidth(H)
        bandwidth = _next_bandwidth(bandwidth, n, leak)


def _next_bandwidth(bandwidth: int, n: int, leak: float) -> int:
    limit = n - 1 if n <= DENSE else WIDEST
    if bandwidth == n - 1:
        raise RecoveryError(
            f"f: expected derivatives that agree with each other to the precision of x, found that a full matrix of "
            f"{n} unknowns differs from them by {leak:.3g}; does f compute on in a lower precision on the way?"
        )
    if bandwidth >= limit:
        raise BandwidthError(
            f"expected a banded Hessian, found entries of size {leak:.3g} farther than {bandwidth} from the "
            f"diagonal (n = {n}); order the unknowns so that those that meet in one term of f are close, "
            "as when all unknowns of one time step follow each other",
            leak=leak,
            bandwidth=bandwidth,
            needed=None,
        )
    return min(max(1, 2 * bandwidth), limit)


def _random_point(products: Products, x: Tensor, generator: torch.Generator) -> Tensor:
    """X plus noise, as large as f stays finite under (barriers and logarithms end somewhere)."""
    probe = gaussian(x.numel(), x, generator)[None]
    direction = gaussian(x.numel(), x, generator) * (1 + x.abs())
    for scale in (1.0, 0.1, 1e-2, 1e-3, 1e-4):
        point = x + scale * direction
        try:
            product = products(point, probe)
        except (ArithmeticError, RuntimeError, ValueError):
            continue  # f refuses the point; nearer to x it must not
        if bool(torch.isfinite(product).all()):
            return point
    return x
