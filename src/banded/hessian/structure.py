"""Finding the bandwidth. Sees f only through its products."""

import torch
from torch import Tensor

from banded.errors import BandwidthError, RecoveryError
from banded.hessian.probes import comb, gaussian
from banded.hessian.recover import Direct
from banded.hessian.verify import Products, Witness, testify
from banded.matrix import SymmetricBanded

# The search for a band ends here; up to this many unknowns it may end at a full matrix.
WIDEST = 512
DENSE = 2048


def smallest_bandwidth(H: SymmetricBanded, tolerance: float, noise: Tensor) -> int:
    """The last diagonal of H with an entry above `tolerance` times its row and above the `noise` there."""
    size, n = H.band.abs(), H.n
    least = torch.maximum(tolerance * (SymmetricBanded(size) @ torch.ones_like(size[0])), noise)
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
    bandwidth = start
    witness = testify(products, point, generator)
    while leak := witness.leak(H := _band(products, point, bandwidth)):
        bandwidth = _next_bandwidth(bandwidth, point.numel(), leak)
    if witness.is_doubtful(H) and bandwidth < point.numel() - 1:
        H = _band(products, point, min(max(1, 2 * bandwidth), point.numel() - 1))  # look once at what noise may hide
    return _trim(witness, H)


def _band(products: Products, point: Tensor, bandwidth: int) -> SymmetricBanded:
    n = point.numel()
    return Direct(n, bandwidth, point.device)(products(point, comb(n, 2 * bandwidth + 1, point)))


def _trim(witness: Witness, H: SymmetricBanded) -> int:
    """Bandwidth of the entries that the witness would miss; only doubtful ones are held against the noise."""
    eps = torch.finfo(H.dtype).eps
    quiet = torch.zeros_like(witness.x)
    fine, clear = 0.1 * eps ** (2 / 3), eps**0.5
    bandwidth = smallest_bandwidth(H, fine, quiet)
    if bandwidth == smallest_bandwidth(H, clear, quiet):
        return bandwidth
    return smallest_bandwidth(H, fine, witness.rounding)


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
    """A point around x, as far away as f stays finite (barriers and logarithms end somewhere)."""
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
