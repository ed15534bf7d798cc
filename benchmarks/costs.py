"""Where the time of Newton on the band goes: by parts of a solve, and by evaluation. Used by descent.py."""

import timeit
from collections.abc import Callable, Iterator
from typing import Any

import torch
from replicated import Replicated

from banded.hessian import layout
from banded.hessian.constraints import constraints
from banded.hessian.lagrangian import LagrangianPlan
from banded.hessian.lagrangian_planning import plan_lagrangian
from banded.hessian.planning import MEMORY
from banded.problems import Problem


def profile(problem: Problem, title: str, **options: Any) -> Iterator[str]:
    """Lines: where the time of a solve goes, the fastest of ten."""
    results = (problem.solve(progress=False, **options) for _ in range(10))
    fastest = min(results, key=lambda result: result.seconds)
    yield (
        f"one solve to 1e-8, {title}, {fastest.seconds * 1e3:.1f} ms, {fastest.iterations} iterations, "
        f"{fastest.evaluations} evaluations:"
    )
    for name, seconds in sorted(fastest.profile.items(), key=lambda item: -item[1]):
        yield f"  {name:36}{seconds * 1e3:8.1f} ms {seconds / fastest.seconds:5.0%}"


def planned(problem: Problem, compile: bool) -> LagrangianPlan:
    """How f, c and all their derivatives are evaluated together."""
    where = layout(problem.start, None, 0)
    given = constraints({"equality": problem.equality, "inequality": problem.inequality}, problem.start, ())
    x = where.flatten(problem.start)
    return plan_lagrangian(
        problem.objective, given, where, x, (), bandwidth=problem.bandwidth, compile=compile, memory=MEMORY
    )


def costs(problem: Problem) -> dict[str, float]:
    """Seconds of single evaluations of L = f + c·λ, the fastest of 100.

    Of its value; the gradient; that with a graph to differentiate again; all that with
    the products and the bands of H and J, eager and compiled; and of the author's way.
    """
    c = problem.equality
    assert c is not None
    x = problem.solve(progress=False).x
    multipliers, vector = torch.ones_like(c(x)), x.reshape(1, -1)
    flat, one = multipliers.reshape(1, -1), vector.new_ones(1)
    eager, compiled = (planned(problem, compile) for compile in (False, True))
    old = Replicated(len(x) + 1)
    z = x.new_zeros(old.copies, old.nodes, 5)
    z[:, 1:] = x
    leaf = x.clone().requires_grad_()

    def lagrangian() -> torch.Tensor:
        return problem.objective(leaf) + (c(leaf) * multipliers).sum()

    tries: dict[str, Callable[[], object]] = {
        "value": lambda: eager.values_at(vector),
        "gradient": lambda: torch.autograd.grad(lagrangian(), leaf),
        "gradient with a graph": lambda: torch.autograd.grad(lagrangian(), leaf, create_graph=True),
        "products": lambda: eager.evaluate(vector, flat, one),
        "compiled": lambda: compiled.evaluate(vector, flat, one),
        "replicated value": lambda: old.loss(z.detach()),
        "replicated": lambda: old.derivatives(z),
    }
    return {name: min(timeit.repeat(call, number=1, repeat=100)) for name, call in tries.items()}
