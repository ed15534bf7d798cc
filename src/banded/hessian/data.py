"""What a function takes besides the unknowns: the same for all, or for each problem of a batch its own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeAlias, TypeVar, final

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_residuals
from banded.hessian.layout import Layout, flat

Value = TypeVar("Value")


def check_data(args: object, batch: torch.Size) -> None:
    """What a function takes besides the unknowns must be a tuple, whose tensors all have the batch dimensions.

    Raises:
        TypeError: if `args` is not a tuple or a list.
        ValueError: if a tensor in it has other dimensions in front.
    """
    if not isinstance(args, tuple | list):
        raise TypeError(f"args: expected a tuple of what f takes besides x, got {type(args).__name__}; pass (args,)")
    for path, leaf in pytree.tree_flatten_with_path(tuple(args))[0]:
        if batch and isinstance(leaf, np.ndarray):
            raise TypeError(f"args{pytree.keystr(path)}: expected a tensor, got an array; torch.as_tensor makes one")
        if isinstance(leaf, Tensor) and leaf.shape[: len(batch)] != batch:
            raise ValueError(
                f"args{pytree.keystr(path)}: expected batch dimensions {tuple(batch)} in front, like x, got "
                f"shape {tuple(leaf.shape)}; what all problems share, f may close over, or .expand(...) repeats"
            )


@final
class WithData(Generic[Value]):
    """A function of a vector `(n,)` and of data.

    Args:
        f: a function of a pytree of unknowns and of `args`.
        where: the layout of the unknowns; with its batch dimensions lead all tensors in `args`.
        args: pytrees.

    Raises:
        ValueError: if a tensor in `args` has not the batch dimensions.
    """

    def __init__(self, f: Callable[..., Value], where: Layout, args: Sequence[Any]) -> None:
        self._f, self._where = f, where
        self._leaves, self._spec = pytree.tree_flatten(tuple(args))
        self._rows: Tensor | None = None
        self._current = self._leaves

    def select(self, rows: Tensor | None) -> None:
        """Take the data of these problems, of one batch dimension, from now on; of all if None."""
        if rows is not self._rows:
            self._rows = rows
            self._current = self._leaves if rows is None else [_taken(leaf, rows) for leaf in self._leaves]

    def feed(self, *leaves: Any) -> None:
        """Take these data from now on."""
        self._rows, self._current = None, list(leaves)

    def of(self, number: int) -> Callable[[Tensor], Value]:
        """The function of a vector for the data of one problem."""
        dims = len(self._where.batch)
        one = [
            leaf.flatten(0, dims - 1)[number] if dims and isinstance(leaf, Tensor) else leaf for leaf in self._leaves
        ]
        return lambda vector: self._call(vector, *one)

    def vectorised(self, dims: int) -> Callable[[Tensor], Value]:
        """The function of vectors with so many batch dimensions."""
        call, in_dims = self._call, tuple(0 if isinstance(leaf, Tensor) else None for leaf in self._leaves)
        for _ in range(dims):
            call = torch.func.vmap(call, in_dims=(0, *in_dims))
        return lambda x: call(x, *self._current)

    def each(self, x: Tensor) -> list[Value]:
        """The values for vectors `(..., n)`, one problem after the other."""
        dims = x.ndim - 1
        count = x[..., 0].numel()
        split = [leaf.flatten(0, dims - 1) if isinstance(leaf, Tensor) else [leaf] * count for leaf in self._current]
        return [self._call(one, *data) for one, *data in zip(x.reshape(count, -1), *split, strict=True)]

    def halved(self) -> WithData[Any]:
        """Half the sum of squares of what the function returns, in place of that."""
        other, residuals = copy.copy(self), self._f
        other._f = lambda *arguments: 0.5 * residuals(*arguments).square().sum()  # type: ignore[attr-defined]
        return other

    def _call(self, vector: Tensor, *leaves: Any) -> Value:
        return flat(lambda x: self._f(x, *pytree.tree_unflatten(leaves, self._spec)), self._where)(vector)


def _taken(leaf: Any, rows: Tensor) -> Any:
    return leaf[rows.to(leaf.device)] if isinstance(leaf, Tensor) else leaf


@final
class SumOfSquares:
    """½ Σ r², which has Gauss and Newton's JᵀJ in place of its Hessian (Nocedal & Wright 2006, §10.3).

    Args:
        residuals: r of a vector `(n,)`, in any shape, or with data; or of vectors `(..., n)`, `(..., m)`.
    """

    def __init__(self, residuals: Callable[[Tensor], Tensor] | WithData[Tensor]) -> None:
        self.residuals = residuals

    def at(self, x: Tensor) -> Tensor:
        """R `(..., m)` at `x` `(..., n)`."""
        function = self.residuals.vectorised(0) if isinstance(self.residuals, WithData) else self.residuals
        r = function(x)
        check_residuals(r, x, "residuals")
        if r.ndim < x.ndim:
            raise ValueError(
                "residuals: expected several residuals, got a scalar; a loss goes to minimize, r[None] is one residual"
            )
        return r.flatten(x.ndim - 1)

    def __call__(self, x: Tensor) -> Tensor:
        """The value `(...)`."""
        value: Tensor = 0.5 * self.at(x).square().sum(-1)
        return value

    def plain(self) -> Callable[[Tensor], Tensor] | WithData[Tensor]:
        """The same as a function like any other, with its Hessian."""
        return self.residuals.halved() if isinstance(self.residuals, WithData) else self.__call__

    def of(self, number: int) -> SumOfSquares:
        """That of one problem."""
        return SumOfSquares(self.residuals.of(number)) if isinstance(self.residuals, WithData) else self


AnyFunction: TypeAlias = Callable[[Tensor], Tensor] | WithData[Tensor] | SumOfSquares


def of_vector(f: Callable[..., Tensor], where: Layout, args: Sequence[Any], residuals: bool) -> AnyFunction:
    """The function of a vector `(n,)` that f is of a pytree and `args`, or half the sum of squares of its residuals."""
    check_data(args, where.batch)
    function = WithData(f, where, args) if len(args) else flat(f, where)
    return SumOfSquares(function) if residuals else function


def data_of(f: AnyFunction) -> WithData[Tensor] | None:
    """The data that a function takes."""
    inner = f.residuals if isinstance(f, SumOfSquares) else f
    return inner if isinstance(inner, WithData) else None


def of_problem(f: AnyFunction, number: int) -> AnyFunction:
    """The function of one problem of a batch."""
    return f.of(number) if isinstance(f, WithData | SumOfSquares) else f
