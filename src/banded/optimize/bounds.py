"""Bounds of the unknowns, in whatever form they are given."""

from __future__ import annotations

from numbers import Real
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.hessian import Layout

NAMES = "lower", "upper"


def bounds_of(bounds: object, where: Layout) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds as vectors `(*batch, n)`, infinite where there are none.

    Args:
        bounds: None, or a pair of which each is None, a number, a tensor that broadcasts to the unknowns, or a pytree
            like theirs of such.
        where: the layout of the unknowns.

    Raises:
        TypeError: if it is no pair, or holds other things.
        ValueError: if a shape does not fit, a bound is NaN, or a lower one above the upper one.
    """
    pair = (None, None) if bounds is None else bounds
    if not isinstance(pair, tuple | list):
        raise TypeError(
            f"bounds: expected a pair (lower, upper), of which each may be None, got {type(bounds).__name__}"
        )
    if len(pair) != 2:
        raise ValueError(
            f"bounds: expected a pair (lower, upper), got {len(pair)} entries; tuple(zip(*bounds)) makes it of one "
            "(low, high) for each unknown"
        )
    if isinstance(pair, list) and all(isinstance(one, tuple | list) and len(one) == 2 for one in pair) and where.n == 2:
        raise ValueError(
            f"bounds: expected a pair (lower, upper), got what may be one (low, high) for each unknown: {bounds!r}; "
            "tuple(zip(*bounds)) turns such around, and tensors in a tuple say what they are"
        )
    lower, upper = (_vector(one, where, side) for side, one in enumerate(pair))
    crossed = (lower > upper).nonzero()
    if len(crossed):
        at = tuple(crossed[0].tolist())
        raise ValueError(
            f"bounds: expected lower <= upper, got {lower[at].item():g} > {upper[at].item():g} for "
            f"{where.label(at[-1])} ({len(crossed)} of {lower.numel()} unknowns)"
        )
    return lower, upper


def _vector(bound: Any, where: Layout, side: int) -> Tensor:
    none = float("inf") if side else -float("inf")
    parts = [
        _leaf(none if leaf is None else leaf, none, where, shape, f"bounds: {NAMES[side]} of {name}")
        for leaf, shape, name in zip(_leaves(bound, where, side), where.shapes, where.names, strict=True)
    ]
    return torch.cat(parts, -1)


def _leaves(bound: Any, where: Layout, side: int) -> list[Any]:
    """That of each leaf of the unknowns, in their order: keys may come in another."""
    if where.is_tensor or bound is None or isinstance(bound, Real | Tensor):
        return [bound] * len(where.shapes)
    like = pytree.tree_unflatten([0] * len(where.shapes), where.spec)
    paths = [path for path, _ in pytree.tree_flatten_with_path(like)[0]]
    found = dict(pytree.tree_flatten_with_path(bound, is_leaf=lambda one: one is None)[0])
    if bound.__class__ is not where.kind or found.keys() != set(paths):
        raise ValueError(
            f"bounds: expected the {NAMES[side]} ones as a pytree like the unknowns, with the leaves "
            f"{', '.join(where.names)}, got {bound!r}; None for a leaf leaves it free"
        )
    return [found[path] for path in paths]


def _leaf(bound: Any, none: float, where: Layout, shape: torch.Size, label: str) -> Tensor:
    """`(*batch, numel)`: the bound of one leaf."""
    try:
        given = torch.as_tensor(bound, dtype=where.dtype, device=where.device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"{label}: expected a number or a tensor, got {type(bound).__name__}") from None
    if given.requires_grad and torch.is_grad_enabled():
        raise ValueError(
            f"{label}: expected a tensor that needs no gradient, for none goes through bounds; .detach() it, or write "
            "the bound as an inequality, which may close over it"
        )
    if bool(given.isnan().any()):
        raise ValueError(f"{label}: expected numbers, got nan; infinities stand for no bound")
    if bool((given == -none).any()):
        raise ValueError(f"{label}: expected numbers, or {none} for no bound, got {-none}, which leaves no room")
    wanted = where.batch + shape
    try:
        return given.detach().expand(wanted).reshape(*where.batch, -1)
    except RuntimeError:
        raise ValueError(
            f"{label}: expected a number or a shape that broadcasts to {tuple(wanted)}, got {tuple(given.shape)}"
        ) from None
