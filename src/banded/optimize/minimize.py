"""The entry point: from a function and a start to a result."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypeAlias, TypedDict, TypeVar, Unpack, overload

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_function, check_whole
from banded.compiling import outside_graphs
from banded.hessian import Layout, Plan, Tree, layout
from banded.hessian import plan as make_plan
from banded.hessian.data import check_data
from banded.hessian.lagrangian import ConstrainedPlan
from banded.optimize.batch import Batch, flattened, taken
from banded.optimize.bounds import bounds_of
from banded.optimize.constrained import Constrained, ConstrainedBatch
from banded.optimize.constrained_plan import Planner
from banded.optimize.limits import Limits
from banded.optimize.method import Methods
from banded.optimize.newton import Globalisation
from banded.optimize.recorder import Recorder
from banded.optimize.result import Result, Results, Status, keep
from banded.optimize.settings import barrier_of, globalisation_of
from banded.optimize.single import PLANS, Single
from banded.optimize.unconstrained import Unconstrained, UnconstrainedBatch

AnyPlan: TypeAlias = Plan | ConstrainedPlan
Warmth = TypeVar("Warmth", Result, Results)
Begin: TypeAlias = Callable[[Tensor, Sequence[int] | None], Methods]
"""A way to minimise the problems of these numbers, all if None, from points `(A, n)`."""


class Options(TypedDict, total=False):
    """What `minimize` takes besides, by name."""

    args: Sequence[Any]
    equality: Callable[..., Tree] | None
    inequality: Callable[..., Tree] | None
    bounds: tuple[Any, Any] | None
    warm_start: Result | Results | None
    bandwidth: int | None
    border: Sequence[str | int] | None
    residuals: bool
    method: str
    compile: bool
    globalisation: str | Globalisation
    barrier: str | None
    tolerance: float
    max_iterations: int | None
    max_seconds: float | None
    progress: bool | None
    callback: Callable[[Any, Any], object] | None


@overload
def minimize(
    f: Callable[..., Tensor] | AnyPlan, x0: Tree, *, batch_dims: Literal[0] = 0, **options: Unpack[Options]
) -> Result: ...


@overload
def minimize(
    f: Callable[..., Tensor] | AnyPlan, x0: Tree, *, batch_dims: int, **options: Unpack[Options]
) -> Results: ...


@outside_graphs
def minimize(
    f: Callable[..., Tensor] | AnyPlan,
    x0: Tree,
    *,
    args: Sequence[Any] = (),
    equality: Callable[..., Tree] | None = None,
    inequality: Callable[..., Tree] | None = None,
    bounds: tuple[Any, Any] | None = None,
    warm_start: Result | Results | None = None,
    bandwidth: int | None = None,
    border: Sequence[str | int] | None = None,
    residuals: bool = False,
    method: str = "auto",
    compile: bool = False,
    globalisation: str | Globalisation = "line search",
    barrier: str | None = None,
    tolerance: float = 1e-8,
    max_iterations: int | None = None,
    max_seconds: float | None = None,
    batch_dims: int = 0,
    progress: bool | None = None,
    callback: Callable[[Any, Any], object] | None = None,
) -> Result | Results:
    """Minimise f, perhaps subject to c(x) = 0, g(x) >= 0 and bounds, by Newton's method on a band.

    Without constraints, the step solves (H + δI) p = -g by banded Cholesky, with the smallest δ >= 0
    tried that makes the matrix positive definite, and its length is such that f
    and its slope decrease enough (Nocedal & Wright 2006, §3.1, §3.4). Saddle points
    are left along negative curvature. With constraints, it is a primal-dual interior-point
    method with a filter (Wächter & Biegler 2006, Math. Program. 106:25-57).

    Args:
        f: twice differentiable loss, takes a pytree like `x0`, returns a scalar
            `()`; or a `Plan` of one, whose settings then hold; with constraints or bounds, what `plan_constrained`
            makes.
        x0: start, float32 or float64: a tensor of any shape, with time as the first
            dimension, or a pytree of tensors, as in `plan`.
        args: what f takes besides, pytrees: f(x, *args). With batch dimensions, those lead
            all tensors in them: each problem takes its own.
        equality: c, takes what f takes and returns residuals that are to be zero: a tensor of any shape, or a
            pytree of such; each of them must couple only unknowns that are close, and border.
        inequality: g, likewise, of residuals that are not to be negative.
        bounds: a pair (lower, upper), each None, a number, a tensor that broadcasts to x, or a pytree like x of
            such; infinite where there is no bound. Unknowns with equal bounds are fixed.
        warm_start: the result of a problem like this one, whose multipliers are where to start, with `result.x`, moved
            along or not, for `x0`; only for problems with constraints.
        bandwidth: half-bandwidth of the Hessian, with constraints of H + JᵀJ; found if None.
        border: unknowns that couple to everything, as in `plan`.
        residuals: f returns residuals r of any shape, and ½ Σ r² is minimised by Gauss and Newton's method, with JᵀJ
            for H: never indefinite, so it sees no saddles; fast where residuals are small at the minimum.
        method: recovery of the band, as in `plan`.
        compile: compile f with its derivatives, as in `plan`.
        globalisation: what leads to a minimum from afar: "line search" or "trust region", or one of these with settings
            of your own, such as `LineSearch(memory=10)`.
        barrier: how the barrier parameter of constraints and bounds falls: "monotone", once its problem is solved,
            which None stands for; or "adaptive", chosen for each step, which is often faster where bounds decide.
        tolerance: on the largest absolute entry of the gradient, in units of
            f / x, or of the natural size of the gradient, H x, where that is below 1. With constraints: on the
            gradient of the Lagrangian, on c, g and bounds, and on what all bounds together leave to gain, where f
            and constraints are scaled to gradients of 100 at most at the start.
        max_iterations: Newton steps at most; None for three times the number of unknowns, and at least 3000.
        max_seconds: of wall-clock time, looked at between steps; None for no limit.
        batch_dims: leading dimensions of `x0` that count problems, which are solved at once, each as if alone.
            f takes one of them: what it closes over, all share; what is each problem's own goes into `args`.
        progress: print a row per iteration; None does where standard output is
            an interactive terminal.
        callback: called with the point (a pytree like `x0`) and its `Record` at each iterate; where it returns True,
            the minimisation stops there. With batch dimensions: with all points and a list of records.

    Returns:
        The best point with its status, whose text is advice, and the history: a `Result`; with
        batch dimensions `Results`. Ctrl-C returns it, too.

    Raises:
        TypeError, ValueError: for bad arguments, as in `plan`.
        NonFiniteError: if f, its derivatives or constraints are not finite at `x0`, moved inside the bounds.
        BandwidthError: if the band does not hold the Hessian; says what would.
        Exception: what f or `callback` raise on the way, with the best point so far as its attribute `result`.
    """
    if not isinstance(f, AnyPlan):
        check_function("f", f)
    check_data(args, torch.Size())
    if isinstance(f, Plan) and residuals and not f.residuals:
        raise TypeError(
            "residuals: expected a Plan of residuals, as plan(r, x, residuals=True) makes, got one of a loss"
        )
    if isinstance(f, AnyPlan) and len(args):
        raise TypeError("args: expected none with a Plan, which has those that it was made with; make another plan")
    if callback is not None:
        check_function("callback", callback)
    limits = Limits(tolerance, max_iterations, max_seconds, graph=torch.is_grad_enabled())
    chosen: Globalisation = globalisation_of(globalisation)
    make = partial(make_plan, bandwidth=bandwidth, border=border, method=method, compile=compile, residuals=residuals)
    dims = len(f.layout.batch) if isinstance(f, AnyPlan) else check_whole("batch_dims", batch_dims)
    functions = {"equality": equality, "inequality": inequality}
    bound = isinstance(f, ConstrainedPlan) or bounds is not None
    bound = bound or any(one is not None for one in functions.values())
    rule = barrier_of(barrier, constrained=bound)
    with torch.inference_mode(False):
        if isinstance(f, AnyPlan) and dims > 1:
            raise ValueError(f"f: expected a plan with one batch dimension, got {tuple(f.layout.batch)}; flatten them")
        where = f.layout if isinstance(f, AnyPlan) else layout(x0, border, dims)
        check_data(args, where.batch)
        x = where.flatten(x0).detach().clone(memory_format=torch.contiguous_format).reshape(*_rows(where), where.n)
        found = not isinstance(f, AnyPlan) and bandwidth is None
        if bound:
            _check_constrained(globalisation, method)
            lower, upper = (one.reshape(x.shape) for one in bounds_of(bounds, where))
            data = flattened(tuple(args), dims) if dims else args
            planner = _planner(f, functions, where, data, bandwidth, compile, residuals)
        if dims:
            _check_batch(x0, where)
            if bound:
                begin: Begin = partial(
                    _interior_batch, planner, lower, upper, limits, rule, _checked_warm(warm_start, Results)
                )
            else:
                assert not isinstance(f, ConstrainedPlan)
                begin = partial(_newton_batch, f, make, where, flattened(tuple(args), dims), chosen, limits)
            return _many(where, x, begin, limits, progress, callback, found=found)
        single = Single(where, limits, Recorder(progress, constrained=bound), callback)
        seconds: dict[str, float] = {}
        if bound:
            constrained = Constrained(
                planner, x, lower, upper, limits, rule, seconds, _checked_warm(warm_start, Result)
            )
            constrained.renewable = found
            seconds["plan"] = single.seconds
            return single.solve(constrained)
        assert not isinstance(f, ConstrainedPlan)
        made = f if isinstance(f, Plan) else make(f, where.unflatten(x), args=args)
        again = partial(make, made.f, args=args) if found else None
        seconds["plan"] = single.seconds
        return single.solve(Unconstrained(made, x, chosen, limits, again, seconds))


def _rows(where: Layout) -> tuple[int, ...]:
    """The batch dimensions as one, if there are any."""
    return (where.batch.numel(),) if where.batch else ()


def _check_batch(x0: Tree, where: Layout) -> None:
    if where.is_tensor and not where.shapes[0]:
        raise ValueError(
            f"x0: expected more than {len(where.batch)} batch dimensions, got shape {tuple(x0.shape)}; "
            "x0[..., None] has one unknown in each problem"
        )


@overload
def least_squares(
    r: Callable[..., Tensor] | Plan, x0: Tree, *, batch_dims: Literal[0] = 0, **options: Unpack[Options]
) -> Result: ...


@overload
def least_squares(r: Callable[..., Tensor], x0: Tree, *, batch_dims: int, **options: Unpack[Options]) -> Results: ...


def least_squares(
    r: Callable[..., Tensor] | Plan, x0: Tree, *, batch_dims: int = 0, **options: Unpack[Options]
) -> Result | Results:
    """Minimise ½ Σ r² by Gauss and Newton's method: `minimize(r, x0, residuals=True, **options)`.

    Args:
        r: takes a pytree like `x0`, returns residuals of any shape, each of few unknowns that are close; or a `Plan`
            of them, made with `residuals=True`.
        x0: start, as in `minimize`.
        batch_dims: as in `minimize`.
        options: its others.

    Returns:
        As `minimize`; `value` is ½ Σ r².
    """
    check_function("r", r)
    names = sorted({*Options.__annotations__} - {"residuals", "equality"})
    unknown = sorted(set(options) - Options.__annotations__.keys())
    if unknown or not options.get("residuals", True):
        wrong = unknown[0] if unknown else "residuals=False"
        raise TypeError(f"least_squares: expected options among {', '.join(names)}, got {wrong}; it minimises ½ Σ r²")
    options["residuals"] = True
    return minimize(r, x0, batch_dims=batch_dims, **options)


def _many(
    where: Layout,
    x: Tensor,
    begin: Begin,
    limits: Limits,
    progress: bool | None,
    callback: Callable[[Any, Any], object] | None,
    *,
    found: bool,
) -> Results:
    """Solve the problems of a batch that start at `x` `(B, n)`; their plan is made anew where it was `found`."""
    begun = time.perf_counter()
    run = partial(Batch, limits=limits, progress=progress, doubted=found)
    results = run(begin(x, None), callback=callback, begun=begun, before=[0] * len(x)).run()
    for plans in range(2, PLANS + 1):
        outgrown = _outgrown(results) if found else []
        if not outgrown:
            break
        left = limits.after(time.perf_counter() - begun)
        run = partial(run, limits=left, doubted=plans < PLANS)
        results = _go_on(results, outgrown, begin, where, run, callback)
    flat = replace(where, batch=torch.Size([len(x)]))
    whole = where.unflatten(flat.flatten(results.x).reshape(*where.batch, where.n))
    return replace(results, x=whole)


def _outgrown(results: Results) -> list[int]:
    """The problems where f couples unknowns that it did not at the start; none once the end was wanted."""
    if {Status.STOPPED, Status.INTERRUPTED} & set(results.status):
        return []
    return [number for number, status in enumerate(results.status) if status is Status.BANDWIDTH]


def _go_on(
    results: Results,
    numbers: Sequence[int],
    begin: Begin,
    where: Layout,
    run: partial[Batch],
    callback: Callable[[Any, Any], object] | None,
) -> Results:
    """With these problems taken further, by a plan that is made where they ended."""
    begun = time.perf_counter()
    points = taken(pytree.tree_map(torch.Tensor.detach, results.x), numbers)
    told = None if callback is None else partial(results.tell, callback, numbers)
    before = [results[number].iterations for number in numbers]
    try:
        x = replace(where, batch=torch.Size([len(numbers)])).flatten(points).clone()
        batch = run(begin(x, numbers), callback=told, begun=begun, before=before)
        return results.replaced(numbers, batch.run())
    except KeyboardInterrupt:
        return results.interrupted(numbers)
    except Exception as error:
        later = getattr(error, "result", None)
        keep(error, results.replaced(numbers, later) if isinstance(later, Results) else results.interrupted(numbers))
        raise


def _newton_batch(
    f: Callable[..., Tensor] | Plan,
    make: partial[Plan],
    where: Layout,
    args: Sequence[Any],
    globalisation: Globalisation,
    limits: Limits,
    x: Tensor,
    numbers: Sequence[int] | None,
) -> UnconstrainedBatch:
    """Newton's method for the problems of these numbers, all if None, from `x` `(A, n)`."""
    points = replace(where, batch=x.shape[:1]).unflatten(x)
    data = args if numbers is None else taken(args, numbers)
    plan = f if isinstance(f, Plan) else make(f, points, args=data, batch_dims=1)
    return UnconstrainedBatch(plan, x, globalisation, limits)


def _interior_batch(
    planner: Callable[..., ConstrainedPlan],
    lower: Tensor,
    upper: Tensor,
    limits: Limits,
    rule: str,
    warm: Results | None,
    x: Tensor,
    numbers: Sequence[int] | None,
) -> ConstrainedBatch:
    """The interior-point method for the problems of these numbers, all if None, from `x` `(A, n)`."""
    if numbers is not None:
        lower, upper, warm = lower[list(numbers)], upper[list(numbers)], None
    return ConstrainedBatch(partial(planner, numbers=numbers), x, lower, upper, limits, rule, warm)


def _planner(
    f: Callable[..., Tensor] | AnyPlan,
    functions: dict[str, Callable[..., Tree] | None],
    where: Layout,
    args: Sequence[Any],
    bandwidth: int | None,
    compile: bool,
    residuals: bool,
) -> Callable[..., ConstrainedPlan]:
    """What makes plans of a problem with constraints, or hands out the one that there is."""
    if isinstance(f, ConstrainedPlan):
        made = f
        if any(one is not None for one in functions.values()):
            raise TypeError("equality, inequality: expected none with a plan, which has those that it was made with")
        return lambda x, numbers=None: made
    if isinstance(f, Plan):
        raise TypeError(
            "f: expected a function where there are constraints, got a Plan; plan_constrained(f, x, equality=..., "
            "inequality=...) makes one that knows of them, and of bounds"
        )
    return Planner(half_square(f) if residuals else f, functions, where, args, bandwidth, compile)


def _check_constrained(globalisation: object, method: str) -> None:
    if globalisation != "line search":
        raise ValueError(
            "globalisation: expected none of your own where there are constraints, which take a line search with a "
            f"filter; got {globalisation!r}"
        )
    if method not in ("auto", "direct"):
        raise ValueError(f"method: expected 'auto' or 'direct' where there are constraints, got {method!r}")


def _checked_warm(warm: Result | Results | None, kind: type[Warmth]) -> Warmth | None:
    """What to start from, if it is of the kind that there has to be."""
    if warm is not None and not isinstance(warm, kind):
        raise TypeError(f"warm_start: expected what minimize returned, {kind.__name__}, got {type(warm).__name__}")
    return warm


def half_square(r: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """½ Σ r², as a loss like any other."""
    return lambda *arguments: 0.5 * r(*arguments).square().sum()
