"""The entry point: from a function and a start to a result."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from numbers import Integral, Real
from typing import Any

import torch
from torch import Tensor

from banded.checks import check_function
from banded.compiling import outside_graphs
from banded.hessian import Layout, Plan, Tree, layout
from banded.hessian import plan as make_plan
from banded.matrix import Symmetric
from banded.optimize.dialogue import newton
from banded.optimize.line_search import LineSearch
from banded.optimize.multipliers import AugmentedLagrangian, rounds
from banded.optimize.newton import Globalisation
from banded.optimize.recorder import Recorder, State
from banded.optimize.result import Result, Status
from banded.optimize.trust_region import TrustRegion
from banded.optimize.workspace import Place

PLANS = 3  # made anew at most, where f couples other unknowns at the end than at the start
GLOBALISATIONS: dict[str, type[LineSearch | TrustRegion]] = {"line search": LineSearch, "trust region": TrustRegion}
_UNCHECKED = (Status.NON_FINITE, Status.UNBOUNDED, Status.INTERRUPTED, Status.MAX_ITERATIONS)


@outside_graphs
def minimize(
    f: Callable[[Any], Tensor] | Plan,
    x0: Tree,
    *,
    equality: Callable[[Any], Tensor] | None = None,
    bandwidth: int | None = None,
    border: Sequence[str | int] | None = None,
    method: str = "auto",
    compile: bool = False,
    globalisation: str | Globalisation = "line search",
    tolerance: float = 1e-8,
    max_iterations: int = 3000,
    progress: bool | None = None,
) -> Result:
    """Minimise f, perhaps subject to c(x) = 0, by Newton's method on the band of its Hessian.

    The step solves (H + δI) p = -g by banded Cholesky, with the smallest δ >= 0
    tried that makes the matrix positive definite, and its length is such that f
    and its slope decrease enough (Nocedal & Wright 2006, §3.1, §3.4). Saddle points
    are left along negative curvature. Constraints are brought in by penalties with
    multiplier updates.

    Args:
        f: twice differentiable loss, takes a pytree like `x0`, returns a scalar
            `()`; or a `Plan` of one, whose settings then hold.
        x0: start, float32 or float64: a tensor of any shape, with time as the first
            dimension, or a pytree of tensors, as in `plan`.
        equality: c, takes a pytree like `x0` and returns residuals of any shape
            that are to be zero; they, too, must couple only unknowns that are close.
        bandwidth: half-bandwidth of the Hessian of f + λ·c + ρ c·c, found if None.
        border: unknowns that couple to everything, as in `plan`.
        method: recovery of the band, as in `plan`.
        compile: compile f with its derivatives, as in `plan`.
        globalisation: what leads to a minimum from afar: "line search" or "trust region", or one of these with settings
            of your own, such as `LineSearch(memory=10)`.
        tolerance: on the largest absolute entry of the gradient, in units of
            f / x, and of c, in its own units.
        max_iterations: Newton steps at most.
        progress: print a row per iteration; None does where standard output is
            an interactive terminal.

    Returns:
        The best point with its status, whose text is advice, and the history.
        Ctrl-C returns it, too.

    Raises:
        TypeError, ValueError: for bad arguments, as in `plan`.
        NonFiniteError: if f, its derivatives or c are not finite at `x0`.
        BandwidthError: if the band does not hold the Hessian; says what would.
    """
    check_function("f", f)
    _check_limits(tolerance, max_iterations)
    where = _layout(f, x0, border)
    recorder = Recorder(progress, where, constrained=equality is not None)
    globalisation = _globalisation(globalisation)
    with torch.inference_mode(False):
        x = where.flatten(x0).detach().clone(memory_format=torch.contiguous_format)
        make = partial(make_plan, bandwidth=bandwidth, border=border, method=method, compile=compile)
        if equality is None:
            made = f if isinstance(f, Plan) else make(f, where.unflatten(x))
            steps = partial(_newton, globalisation, tolerance=tolerance)
        else:
            lagrangian = _lagrangian(f, equality, where, x)
            made = make(lagrangian, where.unflatten(x))
            steps = partial(rounds, lagrangian, globalisation, tolerance=tolerance)
        for _ in range(PLANS):
            state, status = _follow(steps(made, x), recorder, max_iterations)
            x = state.place.x[0]
            if status in _UNCHECKED:
                break
            recorder.count(1)
            if not made.leak(x, _of_one(state.place)):
                break
            status = Status.BANDWIDTH
            if isinstance(f, Plan) or bandwidth is not None:
                break
            made = make(made.f, where.unflatten(x))  # f couples unknowns here that it did not at the start
    return recorder.result(state, status)


def _newton(globalisation: Globalisation, plan: Plan, x: Tensor, tolerance: float) -> Iterator[State]:
    for iterate, place in newton(plan, x, globalisation, tolerance):
        yield State(iterate, place, iterate.point.value, iterate.status)


def _of_one(place: Place) -> Symmetric:
    """The Hessian of the only problem there."""
    return place.H.with_tensors(tuple(one[0] for one in place.H.tensors))


def _lagrangian(
    f: Callable[[Any], Tensor] | Plan, equality: Callable[[Any], Tensor], where: Layout, x: Tensor
) -> AugmentedLagrangian:
    if isinstance(f, Plan):
        raise TypeError("f: expected a function where there are equality constraints, got a Plan; pass its function")
    check_function("equality", equality)
    return AugmentedLagrangian(f, equality, where, x)


def _globalisation(wanted: str | Globalisation) -> Globalisation:
    if isinstance(wanted, str):
        if wanted not in GLOBALISATIONS:
            raise ValueError(
                f"globalisation: expected {' or '.join(map(repr, GLOBALISATIONS))}, or an object such as "
                f"banded.LineSearch(memory=10), got {wanted!r}"
            )
        return GLOBALISATIONS[wanted]()
    if not hasattr(wanted, "anew"):
        raise TypeError(f"globalisation: expected a name, LineSearch or TrustRegion, got {type(wanted).__name__}")
    return wanted.anew()


def _layout(f: Callable[[Any], Tensor] | Plan, x0: Tree, border: Sequence[str | int] | None) -> Layout:
    if not isinstance(f, Plan):
        return layout(x0, border, 0)
    if f.layout.batch:
        raise ValueError(
            f"f: expected a plan of one problem, got one of a batch {tuple(f.layout.batch)}; make it without batch_dims"
        )
    return f.layout


def _follow(states: Iterator[State], recorder: Recorder, max_iterations: int) -> tuple[State, Status]:
    """Take states until one says why it is the last, the limit is reached, or the user interrupts."""
    state, status = None, None
    try:
        for state in states:
            recorder.add(state)
            status = state.status
            if status is None and recorder.steps >= max_iterations:
                status = Status.MAX_ITERATIONS
            if status is not None:
                break
    except KeyboardInterrupt:
        if state is None:
            raise
        status = Status.INTERRUPTED
    assert state is not None and status is not None  # the sequences end with a status
    return state, status


def _check_limits(tolerance: float, max_iterations: int) -> None:
    if not isinstance(tolerance, Real) or not isinstance(max_iterations, Integral):
        raise TypeError(
            "expected a number as tolerance and a whole number as max_iterations, "
            f"got {tolerance!r} and {max_iterations!r}"
        )
    if not tolerance >= 0:
        raise ValueError(f"tolerance: expected a number >= 0, got {tolerance!r}")
    if max_iterations < 0:
        raise ValueError(f"max_iterations: expected a whole number >= 0, got {max_iterations!r}")
