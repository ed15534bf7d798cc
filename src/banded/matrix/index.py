"""The i and j of `H[i, j]`: read, checked, and counted from 0."""

import torch
from torch import Tensor

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def unknowns(index: object, n: int) -> tuple[Tensor, Tensor]:
    """I and j as int64 tensors in 0..n - 1, on the devices they come on.

    Raises:
        IndexError: if one of them lies outside -n..n - 1, or the two do not broadcast.
        TypeError: if they are not two, or not whole numbers.
    """
    if not isinstance(index, tuple) or len(index) != 2:
        raise TypeError(f"index: expected two, as in H[i, j], got {index!r}; H.to_dense()[...] takes any other")
    i, j = (_unknown(one, n) for one in index)
    try:
        torch.broadcast_shapes(i.shape, j.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise IndexError(
            f"index: expected i and j that broadcast, got shapes {tuple(i.shape)} and {tuple(j.shape)}; "
            "H[i[:, None], j] looks up every pair"
        ) from None
    return i, j


def _unknown(index: object, n: int) -> Tensor:
    try:
        number = torch.as_tensor(index)
    except (TypeError, ValueError, RuntimeError):
        number = torch.empty(0, dtype=torch.float64)
    if number.dtype not in WHOLE:
        came = index.dtype if isinstance(index, Tensor) else repr(index)
        raise TypeError(
            f"index: expected whole numbers or tensors of them, got {came}; H.to_dense()[...] takes slices and masks"
        )
    number = number.long()
    outside = number[(number < -n) | (number >= n)]
    if len(outside):
        raise IndexError(f"index: expected -{n} <= i, j < {n} for n = {n} unknowns, got {int(outside[0])}")
    return torch.where(number < 0, number + n, number)
