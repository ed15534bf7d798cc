"""Where the time of Newton on the band goes: by parts of a solve, and by evaluation. Used by descent.py."""

import importlib
import time
import timeit
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from unittest.mock import patch

import torch
from replicated import Replicated

import banded
from banded.hessian import layout
from banded.optimize.direction import NewtonDirection
from banded.optimize.multipliers import AugmentedLagrangian
from banded.problems import Problem


class Stopwatch:
    """Time in wrapped functions, less that in those which they call."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self.inner = [0.0]

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*args: Any, **options: Any) -> Any:
            self.inner.append(0.0)
            start = time.perf_counter()
            result = function(*args, **options)
            elapsed = time.perf_counter() - start
            self.seconds[name] += elapsed - self.inner.pop()
            self.calls[name] += 1
            self.inner[-1] += elapsed
            return result

        return timed


def watched_evaluator(watch: Stopwatch) -> Callable[..., Any]:
    """`Plan.evaluator`, whose functions are timed."""
    original = banded.Plan.evaluator
    return lambda plan, function: watch.wrap("f and c, for the history", original(plan, function))


def profile(problem: Problem, title: str, **options: Any) -> Iterator[str]:
    """Lines: where the time of a solve goes, the fastest of ten."""
    module: Any = importlib.import_module("banded.optimize.minimize")
    fastest, total = Stopwatch(), float("inf")
    for _ in range(10):
        watch = Stopwatch()
        with (
            patch.object(module, "make_plan", watch.wrap("set-up", module.make_plan)),
            patch.object(banded.Plan, "evaluator", watched_evaluator(watch)),
            patch.object(banded.Plan, "evaluate", watch.wrap("f, gradient, products, band", banded.Plan.evaluate)),
            patch.object(banded.Plan, "value_at", watch.wrap("line search: f", banded.Plan.value_at)),
            patch.object(NewtonDirection, "__call__", watch.wrap("factor and solve", NewtonDirection.__call__)),
        ):
            seconds = problem.solve(progress=False, **options).seconds
        if seconds < total:
            fastest, total = watch, seconds
    yield f"one solve to 1e-8, {title}, {total * 1e3:.1f} ms:"
    fastest.seconds["rest: iterates, multipliers, record"] = total - sum(fastest.seconds.values())
    for name, seconds in sorted(fastest.seconds.items(), key=lambda item: -item[1]):
        calls = fastest.calls[name]
        each = f"{calls:4d} x {seconds / calls * 1e6:6.0f} us" if calls else ""
        yield f"  {name:36}{seconds * 1e3:8.1f} ms {seconds / total:5.0%}  {each}"


def costs(problem: Problem) -> dict[str, float]:
    """Seconds of single evaluations of L, the fastest of 100.

    Of its value; the gradient; that with a graph to differentiate again; all that with
    the products and the band, eager and compiled; and of one factorisation and solve.
    """
    assert problem.equality is not None
    lagrangian = AugmentedLagrangian(
        problem.objective, problem.equality, layout(problem.start, None, 0), problem.start.reshape(-1)
    )
    x = problem.solve(progress=False).x
    eager = banded.plan(lagrangian, x, bandwidth=problem.bandwidth)
    compiled = banded.plan(lagrangian, x, bandwidth=problem.bandwidth, compile=True)
    old = Replicated(len(x) + 1)
    z = x.new_zeros(old.copies, old.nodes, 5)
    z[:, 1:] = x
    _, gradient, H = eager(x)
    tries: dict[str, Callable[[], object]] = {
        "value": lambda: eager.value(x),
        "gradient": lambda: torch.autograd.grad(lagrangian(leaf), leaf),
        "gradient with a graph": lambda: torch.autograd.grad(lagrangian(leaf), leaf, create_graph=True),
        "products": lambda: eager(x),
        "compiled": lambda: compiled(x),
        "factor and solve": lambda: H.cholesky().solve(gradient.reshape(-1)),
        "replicated value": lambda: old.loss(z.detach()),
        "replicated": lambda: old.derivatives(z),
    }
    leaf = x.clone().requires_grad_()
    return {name: min(timeit.repeat(call, number=1, repeat=100)) for name, call in tries.items()}
