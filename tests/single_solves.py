"""Starts of batches, and what each problem of one is held against: its single solve."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import banded
from banded import Results


def starts(B: int, n: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(B, n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_like_single_solves(
    results: Results, f: Callable[..., Tensor], x: Any, args: tuple[Any, ...] = (), **options: Any
) -> None:
    """Value, status, steps and point of each are those of `minimize` on the problem by itself."""
    map_ = torch.utils._pytree.tree_map
    for number, one in list(enumerate(results))[-6:]:

        def of(leaf: Any, number: int = number) -> Any:
            return leaf[number] if isinstance(leaf, Tensor) else leaf

        alone = banded.minimize(f, map_(of, x), args=map_(of, args), **options)
        assert one.status is alone.status
        assert one.value == pytest.approx(alone.value, rel=1e-9, abs=1e-12)
        assert one.iterations == alone.iterations
        for mine, other in zip(*map(torch.utils._pytree.tree_leaves, (one.x, alone.x)), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)
