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

SAMPLES = 6  # of the rounding errors of a product


def leakage(products: Products, x: Tensor, H: SymmetricBanded, v: Tensor, product: Tensor) -> float:
    """Largest entry of `product` - H v that rounding does not explain, or 0.

    A row counts where it differs by more than eps^(2/3) of |H| |v| + |product|
    in that row, and by more than a hundred times what f itself rounds away there.
    """
    difference = (product - H @ v).abs()
    least = torch.finfo(v.dtype).eps ** (2 / 3) * (SymmetricBanded(H.band.abs()) @ v.abs() + product.abs())
    leaks = difference > least
    if bool(leaks.any()):
        again = (products(x, v[None])[0] - product).abs()
        if bool((again <= least).all()):  # else f is random, which is no rounding error
            leaks &= difference > 100 * rounding(products, x, v, product)
    return float(difference[leaks].max()) if bool(leaks.any()) else 0.0


def rounding(products: Products, x: Tensor, v: Tensor, product: Tensor) -> Tensor:
    """`(n,)`: how far each row of H v at x can be trusted: its change when x changes by its own rounding error."""
    ulp = torch.finfo(x.dtype).eps * torch.maximum(x.abs(), x.abs().mean())
    generator = torch.Generator().manual_seed(2)
    noise = torch.zeros_like(x)
    for _ in range(SAMPLES):
        shift = ulp * gaussian(x.numel(), x, generator).sign()
        noise = torch.maximum(noise, (products(x + shift, v[None])[0] - product).abs())
    return noise.nan_to_num(0.0)  # beyond the edge of the domain there is nothing to learn


def smallest_bandwidth(H: SymmetricBanded, tolerance: float, noise: Tensor) -> int:
    """The last diagonal of H with an entry above `tolerance` times its row and a hundred times the `noise` there."""
    size, n = H.band.abs(), H.n
    least = torch.maximum(tolerance * (SymmetricBanded(size) @ torch.ones_like(size[0])), 100 * noise)
    for d in range(H.bandwidth, 0, -1):
        if bool((size[d, : n - d] > torch.minimum(least[d:], least[: n - d])).any()):
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
        leak = leakage(products, point, H, v, rows[-1])
        if not leak:
            return _trim(products, point, H, v, rows[-1])
        bandwidth = _next_bandwidth(bandwidth, n, leak)


def _trim(products: Products, point: Tensor, H: SymmetricBanded, v: Tensor, product: Tensor) -> int:
    """Bandwidth of the entries that `leakage` would miss; only doubtful ones are held against the noise."""
    eps = torch.finfo(H.dtype).eps
    quiet = torch.zeros_like(point)
    fine, clear = 0.1 * eps ** (2 / 3), eps**0.5
    bandwidth = smallest_bandwidth(H, fine, quiet)
    if bandwidth == smallest_bandwidth(H, clear, quiet):
        return bandwidth
    return smallest_bandwidth(H, fine, rounding(products, point, v, product))


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
            "as when all unknowns of one time step follow each other; or pass a larger bandwidth where you know it",
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
        except Exception:
            continue  # f refuses the point, for whatever reason of its own; nearer to x it must not
        if bool(torch.isfinite(product).all()):
            return point
    return x
