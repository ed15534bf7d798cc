"""Values that hold tensors of A problems: dataclasses and named tuples, a problem's numbers in a row of each tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from torch import Tensor

from banded.matrix import Symmetric
from banded.matrix.rows import Rows

T = TypeVar("T")


def each(change: Callable[[Tensor], Tensor], value: Any) -> Any:
    """The same of other tensors."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, Rows):
        return value.with_values(change(value.values))
    if isinstance(value, Symmetric):
        return value.with_tensors(tuple(change(one) for one in value.tensors))
    if hasattr(value, "_fields"):
        return type(value)(*(each(change, one) for one in value))
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: each(change, getattr(value, one.name)) for one in fields(value)})
    return value


def taken(value: T, rows: Tensor) -> T:
    """That of some problems."""
    found: T = each(lambda one: one[rows], value)
    return found


def cloned(value: T) -> T:
    """The same, which shares nothing."""
    found: T = each(Tensor.clone, value)
    return found


def overwrite(value: Any, rows: Tensor, other: Any) -> None:
    """Some problems replaced, in place."""
    new = iter(tensors(other))
    each(lambda one: one.index_copy_(0, rows, next(new)), value)


def tensors(value: Any) -> list[Tensor]:
    """Those that it holds."""
    found = []

    def note(one: Tensor) -> Tensor:
        found.append(one)
        return one

    each(note, value)
    return found
