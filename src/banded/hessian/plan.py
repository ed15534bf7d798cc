"""The one place that knows probes, products, recovery and structure, and joins them."""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from banded.checks import check_bandwidth, check_curvature, check_finite, check_function, check_unknowns
from banded.errors import BandwidthError, RecoveryError
from banded.hessian.engine import compiled_engine, eager_engine
from banded.hessian.probes import comb, gaussian
from banded.hessian.products import Engine, Function, loop, value_of
from banded.hessian.recover import RECOVERIES, Direct, Recovery
from banded.hessian.structure import detect_bandwidth
from banded.hessian.verify import Products, Witness
from banded.matrix import SymmetricBanded

SMALL = 64  # unknowns up to which a full matrix is nothing to warn of


@dataclass(frozen=True, eq=False)
class Plan:
    """How to evaluate one function with its derivatives: made once by `plan`, then called often.

    Attributes:
        n: number of unknowns.
        bandwidth: half-bandwidth k of the Hessian.
        method: "direct" (2k + 1 products) or "symmetric" (k + 1).
        engine: how products are computed: "batched", "loop" or "compiled".
        reason: why that engine.
    """

    n: int
    bandwidth: int
    method: str
    engine: str
    reason: str
    _x: Tensor = field(repr=False)  # where it was made: shape, dtype and device to hold callers to
    _probes: Tensor = field(repr=False)
    _recover: Recovery = field(repr=False)
    _run: Engine = field(repr=False)
    _value: Function = field(repr=False)

    @property
    def products(self) -> int:
        """Hessian-vector products that one evaluation makes."""
        return len(self._probes)

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor, SymmetricBanded]:
        """Value `()`, gradient (in the shape of `x`) and Hessian at `x`, from one graph.

        H is over the unknowns in row-major order, `x.reshape(-1)`. Nothing is
        checked for being finite here.

        Raises:
            ValueError: if `x` has another shape, dtype or device than the plan was made for.
        """
        self._check(x)
        flat = x.reshape(-1)
        value, gradient, products = self._run(flat, self._probes)
        H = self._recover(products)
        again = self._recover.rescaled(H)
        if again is not None:
            H = again(self._run(flat, _probes(again, x))[2])
        return value, gradient.reshape(x.shape), H

    def value(self, x: Tensor) -> Tensor:
        """f(x) alone, without a graph."""
        self._check(x)
        return self._value(x.reshape(-1))

    def __str__(self) -> str:
        return (
            f"Plan for {self.n} unknowns, half-bandwidth {self.bandwidth}: {self.products} products "
            f"({self.method}), {self.engine} ({self.reason})"
        )

    def _check(self, x: Tensor) -> None:
        like = self._x
        if x.shape != like.shape or x.dtype != like.dtype or x.device != like.device:
            raise ValueError(
                f"x: expected {tuple(like.shape)}, {like.dtype}, {like.device}, for which the plan was made; "
                f"got {tuple(x.shape)}, {x.dtype}, {x.device}; make another plan for it"
            )


def plan(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    bandwidth: int | None = None,
    method: str = "direct",
    compile: bool = False,
    check: bool = True,
) -> Plan:
    """Detect the structure of f's Hessian and choose an engine once, to evaluate often.

    Args:
        f: twice differentiable, takes a tensor in the shape of `x`, returns a scalar `()`.
        x: a typical point, of any shape, float32 or float64. The unknowns are
            numbered in row-major order, so that with time as the first
            dimension those of one time step follow each other.
        bandwidth: k, with H[i, j] = 0 wherever |i - j| > k; found if None, by
            about 12k products at `x` and at random points around it.
        method: "direct" reads every entry off one product, 2k + 1 of them;
            "symmetric" needs k + 1, and loses some digits along the chain.
        compile: compile the whole product (seconds, once; cached on disk). Where
            that fails, a warning says why and the plan runs without.
        check: hold the band at `x` against one more product, with a random vector.

    Raises:
        TypeError: if `x` is not a float32 or float64 tensor, or f does not return a real tensor.
        ValueError: if `x` is empty, `bandwidth` not in 0..n - 1, `method` unknown,
            f not scalar, independent of x, or without second derivatives.
        NonFiniteError: if f or its gradient is not finite at `x`.
        BandwidthError: if the band does not hold the Hessian; says what would.
        RecoveryError: if rounding spoils the symmetric recovery, or f draws random numbers.
    """
    made, witness = _make(f, x, bandwidth, method, compile)
    if not check:
        return made
    H = made(x.detach())[2]
    _check_band(made, witness, H)
    scaled = made._recover.rescaled(H)
    return made if scaled is None else replace(made, _recover=scaled, _probes=_probes(scaled, made._x))


def hessian(
    f: Callable[[Tensor], Tensor],
    x: Tensor,
    *,
    bandwidth: int | None = None,
    method: str = "direct",
    check: bool = True,
) -> SymmetricBanded:
    """Exact Hessian of f at `x` as a banded matrix, from a handful of products.

    The arguments and errors are those of `plan`, which is the way to evaluate
    more than once.

    Returns:
        The matrix over the unknowns in row-major order, `(n, n)` with n = x.numel(),
        in units of f / (x_i x_j), without a graph.
    """
    made, witness = _make(f, x, bandwidth, method, compile=False)
    _, _, H = made(x.detach())
    if check:
        _check_band(made, witness, H)
    return H


def _make(
    f: Callable[[Tensor], Tensor], x: Tensor, bandwidth: int | None, method: str, compile: bool
) -> tuple[Plan, Witness]:
    check_function("f", f)
    check_unknowns(x)
    if method not in RECOVERIES:
        raise ValueError(f"method: expected one of {', '.join(map(repr, RECOVERIES))}, got {method!r}")
    n = x.numel()
    if bandwidth is not None:
        check_bandwidth(bandwidth, n)
    x = x.detach().clone()
    f = _flat(f, x)
    witness = _testify(f, x)
    eager = functools.cache(functools.partial(eager_engine, f, x))  # tried only where it is needed
    if bandwidth is None:
        bandwidth = _detect(_products(eager().run), witness)
        _warn_if_full(bandwidth, n)
    recover = RECOVERIES[method](n, bandwidth, x.device)
    probes = _probes(recover, x)
    engine = compiled_engine(f, x, probes, fallback=eager) if compile else eager()
    value = value_of(f, compile=engine.name == "compiled")
    return Plan(n, bandwidth, method, engine.name, engine.reason, x, probes, recover, engine.run, value), witness


def _probes(recover: Recovery, x: Tensor) -> Tensor:
    probes = comb(x.numel(), recover.spacing, x)
    return probes if recover.scale is None else probes * recover.scale


def _flat(f: Callable[[Tensor], Tensor], x: Tensor) -> Function:
    if x.ndim == 1:
        return f
    shape = x.shape
    return lambda flat: f(flat.reshape(shape))


def _testify(f: Function, x: Tensor) -> Witness:
    """H v by the plainest engine, at the point where a plan is made; checks on the way what f returns."""
    run = loop(f)
    v = gaussian(x.numel(), x, torch.Generator().manual_seed(1))
    value, gradient, products = run(x.reshape(-1), v[None])
    check_finite(value, gradient.reshape(x.shape))
    check_curvature(products[0])
    return Witness(_products(run), x.reshape(-1), v, products[0])


def _detect(products: Products, witness: Witness) -> int:
    try:
        return detect_bandwidth(products, witness.x, torch.Generator().manual_seed(0))
    except (BandwidthError, RecoveryError):
        _check_repeatable(witness)
        raise


def _products(run: Engine) -> Products:
    return lambda point, probes: run(point, probes)[2]


def _check_repeatable(witness: Witness) -> None:
    """Asked only where something is amiss."""
    if not witness.repeatable:
        raise RecoveryError(
            "f: expected the same derivatives at the same x, got a Hessian that changes from one evaluation to the "
            "next; keep random numbers (dropout, noise) and state outside f, fixed while it is solved"
        )


def _warn_if_full(bandwidth: int, n: int) -> None:
    if n > SMALL and 2 * bandwidth >= n:
        warnings.warn(
            f"banded: found half-bandwidth {bandwidth} of at most {n - 1}: the Hessian is nearly full, and its band "
            "saves nothing. Is time the first dimension of x? Does a term of f (a mean, a norm) couple all unknowns?",
            RuntimeWarning,
            stacklevel=4,
        )


def _check_band(made: Plan, witness: Witness, H: SymmetricBanded) -> None:
    """Hold H, recovered at the point where the plan was made, against the witness's product."""
    leak = witness.leak(H)
    if not leak:
        return
    _check_repeatable(witness)
    needed = _detect(witness.products, witness)
    if needed > made.bandwidth:
        raise BandwidthError(
            f"bandwidth: expected H[i, j] = 0 for |i - j| > {made.bandwidth}, found a leak of {leak:.3g} "
            f"outside that band; pass bandwidth={needed}, or leave it out",
            leak=leak,
            bandwidth=made.bandwidth,
            needed=needed,
        )
    _check_recovery(made, witness, H)


def _check_recovery(made: Plan, witness: Witness, H: SymmetricBanded) -> None:
    """The band is wide enough: then H may differ from what the plainest engine reads directly by rounding alone."""
    direct = Direct(made.n, made.bandwidth, H.device)
    exact = direct(witness.products(witness.x, _probes(direct, made._x))).band
    rows = (SymmetricBanded(exact.abs()) @ torch.ones_like(exact[0])).sqrt()
    eps = torch.finfo(H.dtype).eps
    for d, difference in enumerate((H.band - exact).abs()):
        m = made.n - d
        if bool((difference[:m] > max(1e4 * eps, eps ** (2 / 3)) * rows[:m] * rows[d:]).any()):
            raise RecoveryError(
                f"method {made.method!r} on the {made.engine} engine: expected every entry to its last digits, got an "
                f"error of {float(difference.max()):.3g} on diagonal {d}; "
                "use method='direct' without compile, or scale the unknowns"
            )
