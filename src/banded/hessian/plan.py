"""The one place that knows probes, products, recovery and structure, and joins them."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from banded.checks import check_bandwidth, check_finite, check_unknowns
from banded.errors import BandwidthError, RecoveryError
from banded.hessian.probes import comb, gaussian
from banded.hessian.products import Engine, Function, batched, compiled, loop, value_of
from banded.hessian.recover import RECOVERIES, Recovery
from banded.hessian.structure import detect_bandwidth, leakage
from banded.matrix import SymmetricBanded


@dataclass(frozen=True)
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
            "symmetric" needs k + 1 and loses digits along the chain.
        compile: compile the whole product (seconds, once; cached on disk). Where
            that fails, a warning says why and the plan runs without.
        check: hold the band at `x` against one more product, with a random vector.

    Raises:
        TypeError: if `x` is not a float32 or float64 tensor, or f does not return a real tensor.
        ValueError: if `x` is empty, `bandwidth` not in 0..n - 1, `method` unknown,
            f not scalar, independent of x, or without second derivatives.
        NonFiniteError: if f or its gradient is not finite at `x`.
        BandwidthError: if the band does not hold the Hessian; says what would.
        RecoveryError: if rounding spoils the symmetric recovery.
    """
    check_unknowns(x)
    if method not in RECOVERIES:
        raise ValueError(f"method: expected one of {', '.join(map(repr, RECOVERIES))}, got {method!r}")
    n = x.numel()
    if bandwidth is not None:
        check_bandwidth(bandwidth, n)
    x = x.detach()
    flat = _flat(f, x)
    engine, reason, run = _eager_engine(flat, x)
    if bandwidth is None:
        bandwidth = _detect(run, x)
    recover = RECOVERIES[method](n, bandwidth, x.device)
    probes = _probes(recover, x)
    if compile:
        engine, reason, run = _compiled_engine(flat, x, probes, fallback=(engine, reason, run))
    value = value_of(flat, compile=engine == "compiled")
    made = Plan(n, bandwidth, method, engine, reason, x.clone(), probes, recover, run, value)
    if not check:
        return made
    H = made(x)[2]
    _check_band(made, f, x, H)
    scaled = recover.rescaled(H)
    return made if scaled is None else replace(made, _recover=scaled, _probes=_probes(scaled, x))


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
    made = plan(f, x, bandwidth=bandwidth, method=method, check=False)
    _, _, H = made(x)
    if check:
        _check_band(made, f, x, H)
    return H


def _probes(recover: Recovery, x: Tensor) -> Tensor:
    probes = comb(x.numel(), recover.spacing, x)
    return probes if recover.scale is None else probes * recover.scale


def _flat(f: Callable[[Tensor], Tensor], x: Tensor) -> Function:
    if x.ndim == 1:
        return f
    shape = x.shape
    return lambda flat: f(flat.reshape(shape))


def _eager_engine(f: Function, x: Tensor) -> tuple[str, str, Engine]:
    """The vectorised engine where it runs, the loop where it does not; f itself is checked on the way."""
    flat = x.reshape(-1)
    probes = torch.ones(2, x.numel(), dtype=x.dtype, device=x.device)
    value, gradient, _ = loop(f)(flat, probes[:1])
    check_finite(value, gradient.reshape(x.shape))
    try:
        batched(f)(flat, probes)
    except RuntimeError as error:
        return "loop", f"the vectorised pass failed: {_first_line(error)}", loop(f)
    return "batched", "vectorised double backward", batched(f)


def _compiled_engine(
    f: Function, x: Tensor, probes: Tensor, fallback: tuple[str, str, Engine]
) -> tuple[str, str, Engine]:
    try:
        run = compiled(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, about its internals
            run(x.reshape(-1), probes)
    except Exception as error:  # whatever the compiler met, the eager engine works
        name, _, eager = fallback
        reason = f"compiling failed: {_first_line(error)}"
        warnings.warn(f"banded: {reason}; continuing with the {name} engine", RuntimeWarning, stacklevel=3)
        return name, reason, eager
    return "compiled", "the whole product in one graph", run


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"


def _detect(run: Engine, x: Tensor) -> int:
    def products(point: Tensor, probes: Tensor) -> Tensor:
        return run(point, probes)[2]

    return detect_bandwidth(products, x.reshape(-1), torch.Generator().manual_seed(0))


def _check_band(made: Plan, f: Function, x: Tensor, H: SymmetricBanded) -> None:
    """One product with a random vector, by the plainest engine, against the H that the plan recovered."""
    plain = loop(_flat(f, x))
    v = gaussian(made.n, x, torch.Generator().manual_seed(1))
    _, _, product = plain(x.reshape(-1), v[None])
    leak = leakage(H, v, product[0])
    if not leak:
        return
    needed = _detect(plain, x)
    if needed > made.bandwidth:
        raise BandwidthError(
            f"bandwidth: expected H[i, j] = 0 for |i - j| > {made.bandwidth}, found a leak of {leak:.3g} "
            f"outside that band; pass bandwidth={needed}, or leave it out",
            leak=leak,
            bandwidth=made.bandwidth,
            needed=needed,
        )
    raise RecoveryError(
        f"method {made.method!r} on the {made.engine} engine: expected H v to its last digits, got an error of "
        f"{leak:.3g} (entries reach {float(H.band.abs().max()):.3g}); "
        "does f draw random numbers or keep state? If not, use method='direct' without compile, or scale the unknowns"
    )
