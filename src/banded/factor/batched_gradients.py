"""Gradients that come batched, from `torch.autograd.grad(..., is_grads_batched=True)`.

That is an older vmap than `torch.func`'s, without rules for functions of our own: so batches are unpacked by hand.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BATCHED = torch._C._dispatch_key_parse("Batched")


def is_batched(tensor: Tensor) -> bool:
    """Whether a tensor is a batch of that kind."""
    return bool(torch._C._dispatch_keys(tensor).has(BATCHED))


def each_at_once(function: Callable[[Tensor], Tensor], tensor: Tensor) -> Tensor:
    """Apply a linear function of one tensor to a whole batch, which it sees as a first dimension.

    Raises:
        NotImplementedError: if the derivative of the result is wanted, too.
    """
    if torch.is_grad_enabled():
        raise NotImplementedError(
            "expected is_grads_batched=True without create_graph=True for a banded solve; torch.func.vmap has both"
        )
    level = torch._C._vmapmode_increment_nesting() - 1
    torch._C._vmapmode_decrement_nesting()
    result: Tensor = torch._add_batch_dim(function(torch._remove_batch_dim(tensor, level, 0, 0)), 0, level)
    return result
