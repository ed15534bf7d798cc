"""Where the unknowns of a pytree lie in one vector, and which of them belong to which node of the chain."""

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from numbers import Real
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from banded.checks import check_unknowns, check_whole

Value = TypeVar("Value")
Tree = Any
"""A tensor, or tuples, lists, dictionaries and the like of tensors."""


@dataclass(frozen=True, eq=False)
class Layout:
    """The leaves of a pytree, one after the other, as one vector `(*batch, n)`.

    Attributes:
        spec: the tree without its leaves.
        names: of the leaves: keys and positions on the way to them, joined by dots.
        shapes: of the leaves, without batch dimensions.
        batch: leading dimensions that all leaves share.
        dtype: of all leaves.
        device: of all leaves.
        border: `(p,)`, numbers of the unknowns that were named as the border.
    """

    spec: Any
    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    batch: torch.Size
    dtype: torch.dtype
    device: torch.device
    border: tuple[int, ...]

    @property
    def n(self) -> int:
        """Number of unknowns."""
        return sum(map(prod, self.shapes))

    @property
    def is_tensor(self) -> bool:
        """Whether the tree is one tensor, whose unknowns keep their order."""
        return bool(self.spec.is_leaf())

    @property
    def kind(self) -> type:
        """Of the tree: a tensor, a tuple, a dictionary."""
        return Tensor if self.is_tensor else type(pytree.tree_unflatten([0] * len(self.names), self.spec))

    def label(self, number: int) -> str:
        """What an unknown is called, by its number in the vector: x[3, 1], or x.u[3] for that of a leaf."""
        for name, shape in zip(self.names, self.shapes, strict=True):
            if number < prod(shape):
                place = ", ".join(str(int(one)) for one in np.unravel_index(number, tuple(shape))) if shape else ""
                return _label(name) + (f"[{place}]" if place else "")
            number -= prod(shape)
        raise IndexError(number)

    @property
    def width(self) -> int:
        """Unknowns in one node."""
        return max(1, sum(prod(self.shapes[leaf][1:]) for leaf in self._chained()))

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["spec"] = pytree.tree_unflatten(range(len(self.names)), self.spec)  # specs warn when they are unpickled
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__dict__["spec"] = pytree.tree_structure(state["spec"])

    def flatten(self, tree: Tree) -> Tensor:
        """The vector `(*batch, n)`.

        Raises:
            ValueError: if `tree` has another structure, or its leaves another shape, dtype or device.
        """
        leaves, spec = pytree.tree_flatten(tree)
        if spec != self.spec:
            leaves = self._matched(tree, spec)
        for name, shape, leaf in zip(self.names, self.shapes, leaves, strict=True):
            wanted = self.batch + shape
            if not isinstance(leaf, Tensor) or (leaf.shape, leaf.dtype, leaf.device) != (
                wanted,
                self.dtype,
                self.device,
            ):
                came = f"{tuple(leaf.shape)}, {leaf.dtype}, {leaf.device}" if isinstance(leaf, Tensor) else repr(leaf)
                raise ValueError(
                    f"{_label(name)}: expected {tuple(wanted)}, {self.dtype}, {self.device}, "
                    f"for which the plan was made; got {came}; make another plan for it"
                )
        vectors = [leaf.reshape(*self.batch, -1) for leaf in leaves]
        return vectors[0] if len(vectors) == 1 else torch.cat(vectors, -1)

    def _matched(self, tree: Tree, spec: Any) -> list[Any]:
        """The leaves in the plan's order, of a tree that differs in nothing but the order of keys."""
        mine, other = (pytree.tree_unflatten([0] * one.num_leaves, one) for one in (self.spec, spec))
        if mine != other:  # as Python has it: dictionaries are equal in any order
            raise ValueError(
                f"x: expected the pytree {_words(self.spec)}, got {_words(spec)}; make another plan for it"
            )
        found = dict(pytree.tree_flatten_with_path(tree)[0])
        return [found[path] for path, _ in pytree.tree_flatten_with_path(mine)[0]]

    def unflatten(self, vector: Tensor) -> Tree:
        """The tree, of views of a vector `(..., n)`."""
        batch = vector.shape[:-1]
        if vector.shape[-1] != self.n:
            raise ValueError(f"vector: expected shape (..., {self.n}), got {tuple(vector.shape)}")
        if len(self.shapes) == 1:
            leaves = [vector.reshape(batch + self.shapes[0])]
        else:
            parts = torch.split(vector, [prod(shape) for shape in self.shapes], -1)
            leaves = [part.reshape(batch + shape) for part, shape in zip(parts, self.shapes, strict=True)]
        return pytree.tree_unflatten(leaves, self.spec)

    def by_node(self, columns: Sequence[int] | None = None) -> Tensor | None:
        """`(n,)`: the unknowns node after node, those of the border last; None where that is their order anyway.

        Args:
            columns: the order of the unknowns within a node, as many as it has.
        """
        nodes = torch.cat([self._nodes(leaf) for leaf in self._chained()], 1)
        if columns is not None:
            nodes = nodes[:, list(columns)]
        order = nodes[nodes >= 0]
        border = torch.tensor(self.border, dtype=torch.long)
        order = torch.cat([order[~torch.isin(order, border)], border])
        return None if torch.equal(order, torch.arange(self.n)) else order.to(self.device)

    def _chained(self) -> list[int]:
        """The leaves with unknowns along the chain."""
        border = set(self.border)
        starts = self._starts()
        ends = [start + prod(shape) for start, shape in zip(starts, self.shapes, strict=False)]
        return [i for i, end in enumerate(ends) if not border.issuperset(range(starts[i], end))]

    def _starts(self) -> list[int]:
        starts = [0]
        for shape in self.shapes:
            starts.append(starts[-1] + prod(shape))
        return starts

    def _nodes(self, leaf: int) -> Tensor:
        """`(T, width of the leaf)`: numbers of its unknowns by node, -1 in the last node where it has none."""
        nodes = max(_length(self.shapes[other]) for other in self._chained())
        shape, start = self.shapes[leaf], self._starts()[leaf]
        numbers = start + torch.arange(prod(shape)).reshape(_length(shape), -1)
        return torch.nn.functional.pad(numbers, (0, 0, 0, nodes - len(numbers)), value=-1)


def layout(tree: Tree, border: Sequence[str | int] | None, batch_dims: int) -> Layout:
    """The layout of the unknowns `tree`.

    Args:
        tree: a tensor of any shape, time first; or a pytree of tensors whose
            first dimensions agree, or are shorter by one.
        border: leaves of a tree, by name or position; unknowns of a tensor, by number.
        batch_dims: leading dimensions of every leaf that count problems.

    Raises:
        TypeError: for leaves that are no float32 or float64 tensors, or of different dtypes.
        ValueError: for empty leaves, devices or first dimensions that disagree, and borders that do not exist.
    """
    batch_dims = check_whole("batch_dims", batch_dims)
    if batch_dims < 0:
        raise ValueError(f"batch_dims: expected a number of leading dimensions, 0 or more, got {batch_dims}")
    paths, spec = pytree.tree_flatten_with_path(tree)
    if not paths:
        raise ValueError("x: expected at least one tensor of unknowns, got an empty pytree")
    names = tuple(_name(path) for path, _ in paths)
    leaves = [leaf for _, leaf in paths]
    _check_leaves(tree, leaves, batch_dims)
    for name, leaf in zip(names, leaves, strict=True):
        label = _label(name)
        check_unknowns(leaf, label)
        if (leaf.dtype, leaf.device) != (leaves[0].dtype, leaves[0].device):
            raise ValueError(
                f"{label}: expected {leaves[0].dtype} on {leaves[0].device} like {_label(names[0])}, "
                f"got {leaf.dtype} on {leaf.device}; convert one of them with .to(...)"
            )
        if leaf.ndim < batch_dims or leaf.shape[:batch_dims] != leaves[0].shape[:batch_dims]:
            raise ValueError(
                f"{label}: expected {batch_dims} batch dimensions {tuple(leaves[0].shape[:batch_dims])} in front, "
                f"got shape {tuple(leaf.shape)}"
            )
    shapes = tuple(leaf.shape[batch_dims:] for leaf in leaves)
    numbers = _border(spec, names, shapes, border)
    made = Layout(spec, names, shapes, leaves[0].shape[:batch_dims], leaves[0].dtype, leaves[0].device, numbers)
    _check_time(made)
    return made


def _check_leaves(tree: Tree, leaves: Sequence[Any], batch_dims: int) -> None:
    """What is so common that it has a text of its own."""
    if isinstance(tree, list | tuple) and all(isinstance(leaf, Real) for leaf in leaves):
        raise TypeError(
            f"x: expected a tensor, or a pytree of tensors, got a {type(tree).__name__} of numbers; "
            "torch.tensor(x, dtype=torch.float64) makes a tensor"
        )
    if isinstance(leaves[0], Tensor) and 0 in leaves[0].shape[:batch_dims]:
        raise ValueError(
            f"x: expected one problem or more, got batch dimensions {tuple(leaves[0].shape[:batch_dims])}; "
            "where there may be none, ask before the call"
        )


def flat(f: Callable[[Any], Value], where: Layout) -> Callable[[Tensor], Value]:
    """The function of a vector `(n,)` that f is of a pytree."""
    if where.is_tensor and len(where.shapes[0]) == 1:
        return f
    return lambda vector: f(where.unflatten(vector))


def _border(
    spec: Any, names: Sequence[str], shapes: Sequence[torch.Size], border: Sequence[str | int] | None
) -> tuple[int, ...]:
    if isinstance(border, float):
        raise ValueError(f"border: expected names or numbers of unknowns, got {border!r}")
    wanted = [border] if isinstance(border, (str, int)) else [] if border is None else list(border)
    if spec.is_leaf():
        n = prod(shapes[0])
        numbers: set[int] = set()
        for number in wanted:
            whole = _whole(number)
            if whole is None or not -n <= whole < n:
                raise ValueError(f"border: expected numbers of unknowns from 0 to {n - 1}, got {number!r}")
            numbers.add(whole % n)
        return tuple(sorted(numbers))
    found: list[int] = []
    matched = set()
    start = 0
    for name, shape in zip(names, shapes, strict=True):
        named = [one for one in wanted if name == str(one) or name.startswith(f"{one}.")]
        matched.update(named)
        if named or (not shape and any(shapes)):  # a number has no time: beside what has one, it can only be global
            found += range(start, start + prod(shape))
        start += prod(shape)
    missing = [one for one in wanted if one not in matched]
    if missing:
        raise ValueError(f"border: expected names among {', '.join(names)}, got {missing[0]!r}")
    return tuple(found)


def _whole(number: object) -> int | None:
    try:
        return None if isinstance(number, bool) else operator.index(number)  # type: ignore[arg-type]
    except TypeError:
        return None


def _check_time(made: Layout) -> None:
    chained = made._chained()
    if not chained:
        raise ValueError("border: expected unknowns that are left for the chain, got all of them in the border")
    longest = max(chained, key=lambda leaf: _length(made.shapes[leaf]))
    nodes = _length(made.shapes[longest])
    for leaf in chained:
        length = _length(made.shapes[leaf])
        if length not in (nodes, nodes - 1):
            raise ValueError(
                f"{_label(made.names[leaf])}: expected a first dimension of {nodes} or {nodes - 1}, the time of "
                f"{_label(made.names[longest])}, got shape {tuple(made.shapes[leaf])}; name what does not run "
                f"along time in border=[{made.names[leaf].split('.')[0]!r}]"
            )


def _length(shape: torch.Size) -> int:
    return shape[0] if shape else 1


def _name(path: Any) -> str:
    keys = [getattr(key, "key", getattr(key, "idx", getattr(key, "name", None))) for key in path]
    return ".".join(map(str, keys)) or "x"


def _label(name: str) -> str:
    return name if name == "x" else f"x.{name}"


def _words(spec: Any) -> str:
    return str(pytree.tree_unflatten(["*"] * spec.num_leaves, spec)).replace("'*'", "*")
