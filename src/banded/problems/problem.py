"""What a named problem is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from banded.hessian import Tree, layout
from banded.optimize import Result, minimize

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure


@dataclass(frozen=True)
class Problem:
    """A minimisation that `banded solve` can run, save and draw.

    Attributes:
        objective: f, as in `minimize`.
        start: x0, as in `minimize`.
        equality: c with c(x) = 0, or None.
        inequality: g with g(x) >= 0, or None.
        bounds: the least and the greatest x, each a number, in the form of x0, or
            None; infinite where there is none, equal where an unknown is fixed.
        bandwidth: half-bandwidth, or None to have it found.
        title: one line.
        columns: x -> named vectors of equal length to save and draw, the first
            of them the axis, such as time; None draws x as it is.
        draw: draws the result into a part of a figure, in place of the series.
        optimum: the least value of f that is allowed, where it is known.
    """

    objective: Callable[[Any], Tensor]
    start: Tree
    equality: Callable[[Any], Tensor] | None = None
    inequality: Callable[[Any], Tensor] | None = None
    bounds: tuple[Tree, Tree] | None = None
    bandwidth: int | None = None
    title: str = ""
    columns: Callable[[Any], Mapping[str, Tensor]] | None = None
    draw: Callable[[SubFigure, Result], None] | None = None
    optimum: float | None = None

    def solve(self, **options: Any) -> Result:
        """`minimize` with this problem's arguments; `options` are its others."""
        limits: dict[str, Any] = {"equality": self.equality, "inequality": self.inequality, "bounds": self.bounds}
        given = {name: limit for name, limit in limits.items() if limit is not None}
        result: Result = minimize(self.objective, self.start, bandwidth=self.bandwidth, **given, **options)
        return result

    def series(self, x: Tree) -> dict[str, Tensor]:
        """The columns at x, detached and on the CPU; none where `columns` is None.

        Raises:
            TypeError: if `columns` does not return names with tensors.
            ValueError: if these are not vectors of equal length.
        """
        if self.columns is None:
            return {}
        columns = self.columns(tree_map(torch.Tensor.detach, x))
        if not isinstance(columns, Mapping) or not all(isinstance(column, Tensor) for column in columns.values()):
            raise TypeError("columns: expected a function that returns a dictionary of tensors, one for each name")
        if any(column.ndim != 1 for column in columns.values()) or len({len(c) for c in columns.values()}) > 1:
            shapes = ", ".join(f"{name} {tuple(column.shape)}" for name, column in columns.items())
            raise ValueError(f"columns: expected vectors of equal length, got {shapes}")
        return {name: column.detach().cpu() for name, column in columns.items()}


def unknowns(x: Tree) -> dict[str, Tensor]:
    """The leaves of a pytree of unknowns: "x" where that is a tensor, else "x." and the name of each."""
    names = layout(x, None, 0).names
    return {
        name if name == "x" and isinstance(x, Tensor) else f"x.{name}": leaf
        for name, leaf in zip(names, tree_leaves(x), strict=True)
    }
