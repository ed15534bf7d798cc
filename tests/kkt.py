"""The conditions of an optimum (Karush, Kuhn and Tucker), by PyTorch's derivatives of the user's functions alone."""

from collections.abc import Callable, Sequence
from math import inf
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded import Result

PROBES = 3  # random changes of x, by which the size of a constraint is told


class Conditions(NamedTuple):
    """How far a result is from them.

    Attributes:
        stationarity: largest entry of ∇f + Jᵀλ - Gᵀν - z_l + z_u, over 1 and the largest of these terms.
        feasibility: by how much a constraint or bound is violated, over 1 and what it changes by where x does by
            1 + |x|.
        sign: the least of ν and z, or 0.
        complementarity: Σ ν g + Σ z_l (x - lower) + Σ z_u (upper - x), in absolute terms, over 1 + |f|.
    """

    stationarity: float
    feasibility: float
    sign: float
    complementarity: float


def conditions(
    f: Callable[..., Tensor],
    result: Result,
    *,
    equality: Callable[..., Any] | None = None,
    inequality: Callable[..., Any] | None = None,
    bounds: tuple[Any, Any] | None = None,
    args: Sequence[Any] = (),
) -> Conditions:
    """Of the problem as `minimize` was given it."""
    x, multipliers = doubled(result.x), result.multipliers
    assert multipliers is not None
    terms = [flat(torch.func.grad(f)(x, *args))]
    value = float(f(x, *args))
    violated, pressures, gaps = [np.zeros(1)], [np.zeros(1)], [np.zeros(1)]
    for function, force, sign in ((equality, multipliers.equality, 1), (inequality, multipliers.inequality, -1)):
        if function is None:
            assert force is None
            continue
        of_x = with_args(function, args)
        pulled: Any = torch.func.vjp(of_x, x)[1](doubled(force))[0]
        terms.append(sign * flat(pulled))
        c, size = flat(of_x(x)), 1 + sizes(of_x, x)
        violated.append((np.abs(c) if sign > 0 else np.maximum(-c, 0)) / size)
        if sign < 0:
            pressures.append(flat(force))
            gaps.append(flat(force) * c)
    lower, upper = (side(one, x, none) for one, none in zip(bounds or (None, None), (-inf, inf), strict=True))
    for bound, force, sign in ((lower, multipliers.lower, 1), (upper, multipliers.upper, -1)):
        room, z = sign * (flat(x) - bound), flat(force)
        terms.append(-sign * z)
        violated.append(np.maximum(-room, 0) / (1 + np.abs(flat(x))))
        pressures.append(z)
        assert not z[np.isinf(room)].any()
        gaps.append(np.where(np.isinf(room), 0, z * np.where(np.isinf(room), 0, room)))
    return Conditions(
        float(np.abs(sum(terms)).max() / (1 + max(np.abs(term).max() for term in terms))),
        float(np.concatenate(violated).max()),
        float(np.concatenate(pressures).min()),
        float(np.abs(np.concatenate(gaps)).sum() / (1 + abs(value))),
    )


def assert_optimal(f: Callable[..., Tensor], result: Result, *, tolerance: float = 1e-7, **problem: Any) -> None:
    """All of them hold, and what the result says of f is so; `problem` is what else `conditions` takes."""
    found = conditions(f, result, **problem)
    assert found.stationarity <= tolerance, found
    assert found.feasibility <= tolerance, found
    assert found.sign >= 0, found
    assert found.complementarity <= tolerance, found
    value = float(f(doubled(result.x), *problem.get("args", ())))
    assert abs(result.value - value) <= tolerance * (1 + abs(value)), (result.value, value)


def with_args(function: Callable[..., Any], args: Sequence[Any]) -> Callable[[Any], Any]:
    """A function of x alone."""
    return lambda x: function(x, *args)


def sizes(function: Callable[[Any], Any], x: Any) -> np.ndarray:
    """What each constraint changes by where x does by 1 + |x|, in random directions."""
    generator = torch.Generator().manual_seed(0)

    def change(leaf: Tensor) -> Tensor:
        return torch.randn(leaf.shape, generator=generator, dtype=leaf.dtype) * (1 + leaf.abs())

    probes = [pytree.tree_map(change, x) for _ in range(PROBES)]
    changes = [np.abs(flat(torch.func.jvp(function, (x,), (v,))[1])) for v in probes]
    largest: np.ndarray = np.max(changes, axis=0)
    return largest


def side(bound: Any, x: Any, none: float) -> np.ndarray:
    """Bounds `(n,)` of one side, in whatever form."""
    leaves, spec = pytree.tree_flatten(x)
    alike = not isinstance(x, Tensor) and not isinstance(bound, Tensor | float | int | None)
    given = spec.flatten_up_to(bound) if alike else [bound] * len(leaves)
    parts = [
        torch.as_tensor(none if one is None else one, dtype=torch.float64).expand(leaf.shape).reshape(-1)
        for one, leaf in zip(given, leaves, strict=True)
    ]
    return torch.cat(parts).numpy()


def flat(tree: Any) -> np.ndarray:
    """All entries, in float64."""
    return torch.cat([leaf.detach().double().reshape(-1) for leaf in pytree.tree_leaves(tree)]).numpy()


def doubled(tree: Any) -> Any:
    """The same tree, detached and in float64."""
    return pytree.tree_map(lambda leaf: leaf.detach().double(), tree)
