"""The i and j of `H[i, j]`, and the a:b of `H[a:b, a:b]`: read, checked, and counted from 0."""

import torch
from torch import Tensor

WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def is_block(index: object) -> bool:
    """Whether both are slices."""
    return isinstance(index, tuple) and len(index) == 2 and all(isinstance(one, slice) for one in index)


def check_slice(index: tuple[slice, slice], m: int, n: int) -> tuple[int, int]:
    """First and end of the principal block `H[a:b, a:b]` of a square matrix.

    Raises:
        IndexError: if the matrix is not square, the two slices differ, step, or are empty.
    """
    rows, columns = (one.indices(n) for one in index)
    first, end, step = rows
    if m != n or rows != columns or step != 1 or end <= first:
        raise IndexError(
            f"index: expected the same slice a:b of a square matrix twice, not empty and without a step, got rows "
            f"{_words(index[0])} and columns {_words(index[1])} of shape ({m}, {n}); H.to_dense()[...] takes any other"
        )
    return first, end


def _words(one: slice) -> str:
    return ":".join("" if part is None else str(part) for part in (one.start, one.stop, one.step)).removesuffix(":")


def places(index: object, m: int, n: int) -> tuple[Tensor, Tensor]:
    """I and j as int64 tensors in 0..m - 1 and 0..n - 1, on the devices they come on.

    Raises:
        IndexError: if one of them lies outside, or the two do not broadcast.
        TypeError: if they are not two, or not whole numbers.
    """
    if not isinstance(index, tuple) or len(index) != 2:
        raise TypeError(f"index: expected two, as in H[i, j], got {index!r}; H.to_dense()[...] takes any other")
    i, j = _place(index[0], m), _place(index[1], n)
    try:
        torch.broadcast_shapes(i.shape, j.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        raise IndexError(
            f"index: expected i and j that broadcast, got shapes {tuple(i.shape)} and {tuple(j.shape)}; "
            "H[i[:, None], j] looks up every pair"
        ) from None
    return i, j


def _place(index: object, n: int) -> Tensor:
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
