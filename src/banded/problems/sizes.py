"""What problems ask of their sizes, and the bounds from which theirs are made."""

from math import inf

import torch
from torch import Tensor


def check_size(size: int, least: int, multiple: int = 1, name: str = "nodes") -> None:
    """Raise a ValueError unless `size` is a multiple of `multiple`, and at least `least`."""
    if size < least or size % multiple:
        kind = "" if multiple == 1 else f"a multiple of {multiple}, "
        raise ValueError(f"{name}: expected {kind}at least {least}, got {size}")


def unbounded(n: int) -> tuple[Tensor, Tensor]:
    """Lower and upper bounds that bind none of n unknowns, `(n,)` each, to be filled in."""
    return torch.full((n,), -inf, dtype=torch.float64), torch.full((n,), inf, dtype=torch.float64)
