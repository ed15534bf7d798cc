"""What constraint functions return, as one vector of rows, and the names that its rows have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_function, check_residuals
from banded.errors import NonFiniteError
from banded.hessian.layout import Tree


@dataclass(frozen=True, eq=False)
class Group:
    """One constraint function and the shape of what it returns.

    Attributes:
        name: of the argument that it was given as.
        function: takes what f takes, returns a tensor or a pytree of tensors.
        spec: the pytree without its leaves.
        paths: of the leaves in it.
        shapes: of the leaves.
    """

    name: str
    function: Callable[..., Tree]
    spec: Any
    paths: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def count(self) -> int:
        """Number of rows."""
        return sum(map(prod, self.shapes))

    def rows(self, x: Tree, *args: Any) -> Tensor:
        """`(count,)`: all that the function returns at x."""
        leaves, spec = pytree.tree_flatten(self.function(x, *args))
        shapes = tuple(getattr(leaf, "shape", None) for leaf in leaves)
        if spec != self.spec or shapes != self.shapes:
            raise ValueError(
                f"{self.name}: expected as many residuals as at the start, {list(map(tuple, self.shapes))}, "
                f"got {[None if shape is None else tuple(shape) for shape in shapes]}; keep those that do "
                "not matter at a point, with a value that meets the constraint"
            )
        vectors = [leaf.reshape(-1) for leaf in leaves]
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors)

    def split(self, rows: Tensor) -> Tree:
        """Rows `(..., count)` in the shape of what the function returns."""
        parts = torch.split(rows, [prod(shape) for shape in self.shapes], -1)
        leaves = [part.reshape(rows.shape[:-1] + shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return pytree.tree_unflatten(leaves, self.spec)

    def label(self, row: int) -> str:
        """The place of a row in what the function returns, such as `equality[3, 1]`."""
        for path, shape in zip(self.paths, self.shapes, strict=True):
            if row < prod(shape):
                place = ", ".join(str(int(one)) for one in np.unravel_index(row, shape)) if shape else ""
                return f"{self.name}{path}" + (f"[{place}]" if place else "")
            row -= prod(shape)
        raise IndexError(row)


@dataclass(frozen=True, eq=False)
class Constraints:
    """The rows of all constraint functions, one after the other: c(x) = 0 first, then g(x) >= 0.

    Attributes:
        groups: the functions, in this order.
    """

    groups: tuple[Group, ...]

    @property
    def m(self) -> int:
        """Number of rows."""
        return sum(group.count for group in self.groups)

    @property
    def equalities(self) -> int:
        """How many of them, the first, are equalities."""
        return sum(group.count for group in self.groups if group.name == "equality")

    def rows(self, x: Tree, *args: Any) -> Tensor:
        """`(m,)`: the residuals at x."""
        parts = [group.rows(x, *args) for group in self.groups]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def label(self, row: int) -> str:
        """The name of a row: the argument, and where in what its function returns."""
        for group in self.groups:
            if row < group.count:
                return group.label(row)
            row -= group.count
        raise IndexError(row)

    def split(self, rows: Tensor) -> dict[str, Tree]:
        """Rows `(..., m)` by function, each in the shape of what it returns."""
        parts = torch.split(rows, [group.count for group in self.groups], -1)
        return {group.name: group.split(part) for group, part in zip(self.groups, parts, strict=True)}


def constraints(functions: dict[str, Callable[..., Tree] | None], x: Tree, args: Sequence[Any]) -> Constraints:
    """The constraints of one problem, by what their functions return at `x`.

    Raises:
        TypeError: if one is no function, or returns other than real tensors.
        ValueError: if one returns nothing, or what does not depend on x.
        NonFiniteError: if an entry is not finite at `x`.
    """
    groups = []
    for name, function in functions.items():
        if function is not None:
            check_function(name, function)
            groups.append(_group(name, function, x, args))
    return Constraints(tuple(groups))


def _group(name: str, function: Callable[..., Tree], x: Tree, args: Sequence[Any]) -> Group:
    with torch.enable_grad():
        leaves = pytree.tree_map(lambda leaf: leaf.detach().clone().requires_grad_(), x)
        found = function(leaves, *args)
    like = pytree.tree_leaves(x)[0]
    paths, spec = pytree.tree_flatten_with_path(found)
    if not paths:
        raise ValueError(f"{name}: expected a tensor of residuals, got an empty pytree")
    for path, leaf in paths:
        label = name + pytree.keystr(path)
        check_residuals(leaf, like, label)
        bad = (~torch.isfinite(leaf)).nonzero()
        if len(bad):
            raise NonFiniteError(
                f"{label}: expected finite residuals at the start, got {leaf[tuple(bad[0])].item()} at index "
                f"{tuple(bad[0].tolist())}; start where the constraints are defined, inside the bounds"
            )
    if not _depends([leaf for _, leaf in paths], leaves):
        raise ValueError(
            f"{name}: expected residuals that depend on x, got some that autograd cannot trace back to it; "
            "no .detach(), .item(), .numpy() or torch.tensor(x) on the way"
        )
    return Group(
        name,
        function,
        spec,
        tuple(pytree.keystr(path) for path, _ in paths),
        tuple(leaf.shape for _, leaf in paths),
    )


def _depends(found: Sequence[Tensor], x: Tree) -> bool:
    """Whether one of these residuals can be traced back to x."""
    traced = [leaf.sum() for leaf in found if leaf.requires_grad]
    pulls = torch.autograd.grad(traced, pytree.tree_leaves(x), allow_unused=True) if traced else ()
    return any(pull is not None for pull in pulls)
