"""The entry point: from a function and a start to a result."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal, TypedDict, Unpack, overload

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_function, check_whole
from banded.compiling import outside_graphs
from banded.hessian import Layout, Plan, Tree, layout
from banded.hessian import plan as make_plan
from banded.hessian.data import check_data
from banded.optimize.batch import Batch, flattened, taken
from banded.optimize.dialogue import newton
from banded.optimize.limits import Limits
from banded.optimize.line_search import LineSearch
from banded.optimize.multipliers import AugmentedLagrangian, rounds
from banded.optimize.newton import Globalisation
from banded.optimize.recorder import Recorder, State
from banded.optimize.result import Result, Results, Status, keep
from banded.optimize.settings import globalisation_of
from banded.optimize.single import PLANS, Single, Steps


class Options(TypedDict, total=False):
    """What `minimize` takes besides, by name."""

    args: Sequence[Any]
    equality: Callable[..., Tensor] | None
    bandwidth: int | None
    border: Sequence[str | int] | None
    residuals: bool
    method: str
    compile: bool
    globalisation: str | Globalisation
    tolerance: float
    max_iterations: int | None
    max_seconds: float | None
    progress: bool | None
    callback: Callable[[Any, Any], object] | None


@overload
def minimize(
    f: Callable[..., Tensor] | Plan, x0: Tree, *, batch_dims: Literal[0] = 0, **options: Unpack[Options]
) -> Result: ...


@overload
def minimize(f: Callable[..., Tensor] | Plan, x0: Tree, *, batch_dims: int, **options: Unpack[Options]) -> Results: ...


@outside_graphs
def minimize(
    f: Callable[..., Tensor] | Plan,
    x0: Tree,
    *,
    args: Sequence[Any] = (),
    equality: Callable[..., Tensor] | None = None,
    bandwidth: int | None = None,
    border: Sequence[str | int] | None = None,
    residuals: bool = False,
    method: str = "auto",
    compile: bool = False,
    globalisation: str | Globalisation = "line search",
    tolerance: float = 1e-8,
    max_iterations: int | None = None,
    max_seconds: float | None = None,
    batch_dims: int = 0,
    progress: bool | None = None,
    callback: Callable[[Any, Any], object] | None = None,
) -> Result | Results:
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
        args: what f takes besides, pytrees: f(x, *args). With batch dimensions, those lead
            all tensors in them: each problem takes its own.
        equality: c, takes what f takes and returns residuals of any shape
            that are to be zero; they, too, must couple only unknowns that are close.
        bandwidth: half-bandwidth of the Hessian of f + λ·c + ρ c·c, found if None.
        border: unknowns that couple to everything, as in `plan`.
        residuals: f returns residuals r of any shape, and ½ Σ r² is minimised by Gauss and Newton's method, with JᵀJ
            for H: never indefinite, so it sees no saddles; fast where residuals are small at the minimum.
        method: recovery of the band, as in `plan`.
        compile: compile f with its derivatives, as in `plan`.
        globalisation: what leads to a minimum from afar: "line search" or "trust region", or one of these with settings
            of your own, such as `LineSearch(memory=10)`.
        tolerance: on the largest absolute entry of the gradient, in units of
            f / x, or of the natural size of the gradient, H x, where that is below 1; and of c, in its own units.
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
        NonFiniteError: if f, its derivatives or c are not finite at `x0`.
        BandwidthError: if the band does not hold the Hessian; says what would.
        Exception: what f or `callback` raise on the way, with the best point so far as its attribute `result`.
    """
    check_function("f", f)
    check_data(args, torch.Size())
    if isinstance(f, Plan) and residuals and not f.residuals:
        raise TypeError(
            "residuals: expected a Plan of residuals, as plan(r, x, residuals=True) makes, got one of a loss"
        )
    if isinstance(f, Plan) and len(args):
        raise TypeError("args: expected none with a Plan, which has those that it was made with; make another plan")
    if callback is not None:
        check_function("callback", callback)
    limits = Limits(tolerance, max_iterations, max_seconds, graph=torch.is_grad_enabled())
    chosen: Globalisation = globalisation_of(globalisation)
    make = partial(make_plan, bandwidth=bandwidth, border=border, method=method, compile=compile, residuals=residuals)
    dims = len(f.layout.batch) if isinstance(f, Plan) else check_whole("batch_dims", batch_dims)
    with torch.inference_mode(False):
        if dims:
            return _many(f, x0, args, equality, make, dims, chosen, limits, progress, callback)
        where = f.layout if isinstance(f, Plan) else layout(x0, border, 0)
        x = where.flatten(x0).detach().clone(memory_format=torch.contiguous_format)
        single = Single(where, limits, Recorder(progress, constrained=equality is not None), callback)
        if equality is None:
            made = f if isinstance(f, Plan) else make(f, where.unflatten(x), args=args)
            steps: Steps = partial(_newton, chosen, limits.tolerance)
        else:
            lagrangian = _lagrangian(f, equality, where, x, args, residuals=residuals)
            if globalisation == "line search":
                chosen = LineSearch(wolfe=False)  # kinks end the rounds sooner so
            made, args = make(lagrangian, where.unflatten(x)), ()
            steps = partial(rounds, lagrangian, chosen, limits.tolerance)
        single.profile["plan"] = single.seconds
        again = None if isinstance(f, Plan) or bandwidth is not None else partial(make, made.f, args=args)
        return single.solve(made, x, steps, again)


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
    f: Callable[..., Tensor] | Plan,
    x0: Tree,
    args: Sequence[Any],
    equality: Callable[..., Tensor] | None,
    make: partial[Plan],
    dims: int,
    globalisation: Globalisation,
    limits: Limits,
    progress: bool | None,
    callback: Callable[[Any, Any], object] | None,
) -> Results:
    begun = time.perf_counter()
    if equality is not None:
        raise ValueError("equality: expected None with batch dimensions; problems with constraints go one by one")
    if isinstance(f, Plan) and dims > 1:
        raise ValueError(f"f: expected a plan with one batch dimension, got {tuple(f.layout.batch)}; flatten them")
    where = layout(x0, make.keywords["border"], dims)
    if where.is_tensor and not where.shapes[0]:
        raise ValueError(
            f"x0: expected more than {dims} batch dimensions, got shape {tuple(x0.shape)}; x0[..., None] has one "
            "unknown in each problem"
        )
    check_data(args, where.batch)
    starts = flattened(x0, dims)
    data = flattened(tuple(args), dims)
    found = not isinstance(f, Plan) and make.keywords["bandwidth"] is None
    made = f if isinstance(f, Plan) else make(f, starts, args=data, batch_dims=1)
    x = made.flatten(starts).detach().clone(memory_format=torch.contiguous_format)
    run = partial(Batch, globalisation=globalisation, limits=limits, progress=progress, doubted=found)
    results = run(made, x, callback=callback, begun=begun, before=[0] * len(x)).run()
    for plans in range(2, PLANS + 1):
        outgrown = _outgrown(results) if found else []
        if not outgrown:
            break
        left = limits.after(time.perf_counter() - begun)
        run = partial(run, limits=left, doubted=plans < PLANS)
        results = _go_on(results, outgrown, partial(make, f, batch_dims=1), data, run, callback)
    whole = where.unflatten(made.flatten(results.x).reshape(*where.batch, where.n))
    return replace(results, x=whole)


def _outgrown(results: Results) -> list[int]:
    """The problems where f couples unknowns that it did not at the start; none once the end was wanted."""
    if {Status.STOPPED, Status.INTERRUPTED} & set(results.status):
        return []
    return [number for number, status in enumerate(results.status) if status is Status.BANDWIDTH]


def _go_on(
    results: Results,
    numbers: Sequence[int],
    make: partial[Plan],
    data: Any,
    run: partial[Batch],
    callback: Callable[[Any, Any], object] | None,
) -> Results:
    """With these problems taken further, by a plan that is made where they ended."""
    begun = time.perf_counter()
    points = taken(pytree.tree_map(torch.Tensor.detach, results.x), numbers)
    told = None if callback is None else partial(results.tell, callback, numbers)
    before = [results[number].iterations for number in numbers]
    try:
        made = make(points, args=taken(data, numbers))
        batch = run(made, made.flatten(points).clone(), callback=told, begun=begun, before=before)
        return results.replaced(numbers, batch.run())
    except KeyboardInterrupt:
        return results.interrupted(numbers)
    except Exception as error:
        later = getattr(error, "result", None)
        keep(error, results.replaced(numbers, later) if isinstance(later, Results) else results.interrupted(numbers))
        raise


def _newton(
    globalisation: Globalisation, tolerance: float, plan: Plan, x: Tensor, profile: dict[str, float]
) -> Iterator[State]:
    for iterate, place in newton(plan, x, globalisation, tolerance, profile):
        yield State(iterate, place, iterate.point.value, iterate.status)


def _lagrangian(
    f: Callable[..., Tensor] | Plan,
    equality: Callable[..., Tensor],
    where: Layout,
    x: Tensor,
    args: Sequence[Any],
    *,
    residuals: bool,
) -> AugmentedLagrangian:
    if residuals:
        raise ValueError("residuals: expected False where there are equality constraints; minimise ½ Σ r² as a loss")
    if isinstance(f, Plan):
        raise TypeError("f: expected a function where there are equality constraints, got a Plan; pass its function")
    check_function("equality", equality)
    if not args:
        return AugmentedLagrangian(f, equality, where, x)
    return AugmentedLagrangian(lambda x: f(x, *args), lambda x: equality(x, *args), where, x)
