"""What a function takes besides the unknowns: the same for all, or for each problem of a batch its own."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.hessian.layout import Layout, flat

Value = TypeVar("Value")


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
        for path, leaf in pytree.tree_flatten_with_path(tuple(args))[0]:
            if isinstance(leaf, Tensor) and leaf.shape[: len(where.batch)] != where.batch:
                raise ValueError(
                    f"args{pytree.keystr(path)}: expected batch dimensions {tuple(where.batch)} in front, like x, got "
                    f"shape {tuple(leaf.shape)}; what all problems share, f may close over, or .expand(...) repeats"
                )
        self._rows: Tensor | None = None
        self._current = self._leaves

    def select(self, rows: Tensor | None) -> None:
        """Take the data of these problems, of one batch dimension, from now on; of all if None."""
        if rows is not self._rows:
            self._rows = rows
            self._current = self._leaves if rows is None else [_taken(leaf, rows) for leaf in self._leaves]

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

    def _call(self, vector: Tensor, *leaves: Any) -> Value:
        return flat(lambda x: self._f(x, *pytree.tree_unflatten(leaves, self._spec)), self._where)(vector)


def _taken(leaf: Any, rows: Tensor) -> Any:
    return leaf[rows.to(leaf.device)] if isinstance(leaf, Tensor) else leaf


def of_vector(
    f: Callable[..., Value], where: Layout, args: Sequence[Any]
) -> Callable[[Tensor], Value] | WithData[Value]:
    """The function of a vector `(n,)` that f is of a pytree and `args`."""
    return WithData(f, where, args) if args else flat(f, where)
