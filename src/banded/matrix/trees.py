"""The matrices made known to PyTorch: as pytrees, to torch.func and torch.compile; to torch.load."""

from typing import Any

import torch
from torch.utils import _pytree as pytree

from banded.matrix.base import Matrix


class Structure:
    """What of a matrix is not in its tensors."""

    def __init__(self, matrix: Matrix) -> None:
        self.matrix = matrix

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Structure) and self.matrix.is_like(other.matrix)

    __hash__ = None  # type: ignore[assignment]


def register(*types: type[Matrix]) -> None:
    """Register types of matrices."""
    for one in types:
        pytree.register_pytree_node(
            one, _flatten, _unflatten, serialized_type_name=f"banded.{one.__name__}", flatten_with_keys_fn=_with_keys
        )
    torch.serialization.add_safe_globals(list(types))


def _flatten(matrix: Matrix) -> tuple[list[Any], Structure]:
    return list(matrix.tensors), Structure(matrix)


def _with_keys(matrix: Matrix) -> tuple[list[Any], Structure]:
    leaves, structure = _flatten(matrix)
    return [(pytree.SequenceKey(i), leaf) for i, leaf in enumerate(leaves)], structure


def _unflatten(leaves: Any, structure: Structure) -> Matrix:
    return structure.matrix.with_tensors(tuple(leaves))
