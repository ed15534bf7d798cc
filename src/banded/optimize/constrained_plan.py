"""Plans of problems with constraints, made by users once or by `minimize` each time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_function, check_whole
from banded.compiling import outside_graphs
from banded.hessian import Layout, Plan, Tree, layout
from banded.hessian.constraints import constraints
from banded.hessian.data import check_data
from banded.hessian.lagrangian import LagrangianPlan
from banded.hessian.lagrangian_planning import plan_lagrangian
from banded.hessian.planning import MEMORY
from banded.optimize.batch import flattened, taken


@dataclass(frozen=True, eq=False)
class Planner:
    """Makes plans of one problem at any point.

    Attributes:
        f: the objective.
        functions: the constraints, by the names of their arguments.
        where: the layout of the unknowns.
        args: what the functions take besides, with one batch dimension if there are any.
        bandwidth, compile: as in `plan_constrained`.
    """

    f: Callable[..., Tensor]
    functions: dict[str, Callable[..., Tree] | None]
    where: Layout
    args: Sequence[Any]
    bandwidth: int | None
    compile: bool
    memory: int = MEMORY

    def __call__(self, x: Tensor, numbers: Sequence[int] | None = None) -> LagrangianPlan:
        """At `x`, `(n,)`, or `(A, n)`: then of the problems of these numbers, all if None."""
        where, data, first = self.where, self.args, self.args
        if x.ndim > 1:
            where = replace(where, batch=x.shape[:1])
            data = data if numbers is None else taken(data, numbers)
            first = pytree.tree_map(lambda leaf: leaf[0] if isinstance(leaf, Tensor) else leaf, tuple(data))
        given = constraints(self.functions, where.unflatten(x.reshape(-1, where.n)[0]), first)
        return plan_lagrangian(
            self.f, given, where, x, data, bandwidth=self.bandwidth, compile=self.compile, memory=self.memory
        )


@outside_graphs
def plan_constrained(
    f: Callable[..., Tensor],
    x: Tree,
    *,
    args: Sequence[Any] = (),
    equality: Callable[..., Tree] | None = None,
    inequality: Callable[..., Tree] | None = None,
    bandwidth: int | None = None,
    border: Sequence[str | int] | None = None,
    compile: bool = False,
    batch_dims: int = 0,
    memory: int = MEMORY,
) -> LagrangianPlan:
    """Find the structure of a problem with constraints once, to solve it often: `minimize(plan, x0, bounds=...)`.

    Without constraints, the plan is for problems with bounds alone. What changes from one solve to the next goes into
    tensors that the functions close over, written in place.

    Args:
        f: the objective, as in `minimize`.
        x: a typical point, inside the bounds.
        args: what the functions take besides.
        equality: c with c(x) = 0, as in `minimize`.
        inequality: g with g(x) >= 0, as in `minimize`.
        bandwidth: of H + JᵀJ; found if None.
        border: unknowns that couple to everything, as in `plan`.
        compile: compile all derivatives as one graph (seconds, once; cached on disk).
        batch_dims: leading dimensions of `x` that count problems.
        memory: bytes that a vectorised pass may take, about.

    Raises:
        TypeError, ValueError: for bad arguments.
        NonFiniteError: if f, its derivatives or constraints are not finite at `x`.
        BandwidthError: if a constraint or a term of f couples unknowns that are far apart.
    """
    check_function("f", f)
    if isinstance(f, Plan):
        raise TypeError("f: expected a function, got a Plan; pass its function")
    dims = check_whole("batch_dims", batch_dims)
    with torch.inference_mode(False):
        where = layout(x, border, dims)
        check_data(args, where.batch)
        data = flattened(tuple(args), dims) if dims else args
        functions = {"equality": equality, "inequality": inequality}
        point = where.flatten(x).detach().clone()
        if dims:
            point = point.reshape(-1, where.n)
        return Planner(f, functions, where, data, bandwidth, compile, check_whole("memory", memory))(point)
