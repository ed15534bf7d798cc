"""Arithmetic on bands that are plain tensors: differentiable, along any leading batch dimensions.

A symmetric band is `(..., k + 1, n)`, `band[d, j] = A[j + d, j]`. A general one is
`(..., lower + upper + 1, n)`, `band[upper + i - j, j] = A[i, j]`, of a matrix with m rows.
Cells outside the matrix are never read, but by `multiply`, which wants them to be zero.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad


def inside_symmetric(rows: int, n: int, device: torch.device) -> Tensor:
    """`(rows, n)`: which cells of a symmetric band lie in the matrix."""
    return torch.arange(n, device=device) + torch.arange(rows, device=device)[:, None] < n


def inside_general(lower: int, upper: int, m: int, n: int, device: torch.device) -> Tensor:
    """`(lower + upper + 1, n)`: which cells of a general band lie in the matrix."""
    i = torch.arange(n, device=device) + torch.arange(-upper, lower + 1, device=device)[:, None]
    return (i >= 0) & (i < m)


def _add_product(y: Tensor, a: Tensor, b: Tensor) -> None:
    """Y += a b, in one pass where PyTorch has the rule for it."""
    if torch._C._are_functorch_transforms_active():
        y.add_(a * b)
    else:
        y.addcmul_(a, b)


def symmetric_times(band: Tensor, x: Tensor) -> Tensor:
    """A x for `x` `(..., n, c)`."""
    n = band.shape[-1]
    y = band[..., 0, :, None] * x
    for d in range(1, band.shape[-2]):
        m = n - d
        entries = band[..., d, :m, None]
        _add_product(y.narrow(-2, d, m), entries, x.narrow(-2, 0, m))
        _add_product(y.narrow(-2, 0, m), entries, x.narrow(-2, d, m))
    return y


def symmetric_outer(w: Tensor, x: Tensor, rows: int) -> Tensor:
    """Band of w xᵀ + x wᵀ with the diagonal halved, summed over columns: each cell stands for both triangles.

    So d(wᵀ A x) = Σ (this · dA) over the cells of the band. `w` and `x` `(..., n, c)`.
    """
    n = w.shape[-2]
    diagonals = [(w * x).sum(-1)]
    for d in range(1, rows):
        cell = (w[..., d:, :] * x[..., : n - d, :] + x[..., d:, :] * w[..., : n - d, :]).sum(-1)
        diagonals.append(pad(cell, (0, d)))
    return torch.stack(diagonals, -2)


def both_triangles(band: Tensor) -> Tensor:
    """The general band `(..., 2k + 1, n)` of a symmetric one."""
    rows, n = band.shape[-2:]
    above = [pad(band[..., d, : n - d], (d, 0)) for d in range(rows - 1, 0, -1)]
    below = [pad(band[..., d, : n - d], (0, d)) for d in range(rows)]
    return torch.stack(above + below, -2)


def _columns(offset: int, m: int, n: int) -> tuple[int, int]:
    """First column and number of the entries A[j + offset, j]."""
    first = max(0, -offset)
    return first, max(0, min(n, m - offset) - first)


def general_times(band: Tensor, upper: int, m: int, x: Tensor) -> Tensor:
    """A x `(..., m, c)` for `x` `(..., n, c)`."""
    n = band.shape[-1]
    # of a product, so that it is a batch wherever one of the two is, under vmap as well
    y = (band[..., :1, :1] * x[..., :1, :]).new_zeros((*band.shape[:-2], m, x.shape[-1]))
    for row in range(band.shape[-2]):
        offset = row - upper
        j, count = _columns(offset, m, n)
        if count:
            entries = band[..., row, j : j + count, None]
            _add_product(y.narrow(-2, j + offset, count), entries, x.narrow(-2, j, count))
    return y


def general_outer(w: Tensor, x: Tensor, lower: int, upper: int) -> Tensor:
    """Band of w xᵀ, summed over columns: `w` `(..., m, c)`, `x` `(..., n, c)`."""
    m, n = w.shape[-2], x.shape[-2]
    diagonals = []
    for offset in range(-upper, lower + 1):
        j, count = _columns(offset, m, n)
        cell = (w.narrow(-2, min(j + offset, m), count) * x.narrow(-2, min(j, n), count)).sum(-1)
        diagonals.append(pad(cell, (min(j, n), n - min(j, n) - count)))
    return torch.stack(diagonals, -2)


def transpose(band: Tensor, upper: int, m: int) -> Tensor:
    """The general band `(..., lower + upper + 1, m)` of Aᵀ, whose upper width is the lower one of A."""
    rows, n = band.shape[-2:]
    diagonals = []
    for offset in range(upper - rows + 1, upper + 1):  # of Aᵀ, from its uppermost diagonal on
        i, count = _columns(offset, n, m)
        entries = band[..., upper - offset, i + offset : i + offset + count]
        diagonals.append(pad(entries, (i, m - i - count)) if count else band.new_zeros((*band.shape[:-2], m)))
    return torch.stack(diagonals, -2)


def multiply(a: Tensor, upper_a: int, b: Tensor, upper_b: int, lower: int, upper: int) -> Tensor:
    """Diagonals -lower to upper of A B, from general bands with zeros outside their matrices.

    Column j of the product is the sum over t of column j + t of A times B[j + t, j].

    Args:
        a: of A `(..., m, p)`.
        upper_a: the upper width of A.
        b: of B `(..., p, n)`.
        upper_b: the upper width of B.
        lower: width of the result below its diagonal.
        upper: and above; `(..., lower + upper + 1, n)`.
    """
    p, n = a.shape[-1], b.shape[-1]
    batch = torch.broadcast_shapes(a.shape[:-2], b.shape[:-2])  # type: ignore[no-untyped-call]
    product = (a[..., :1, :1] * b[..., :1, :1]).new_zeros((*batch, lower + upper + 1, n))
    for row in range(b.shape[-2]):
        t = row - upper_b
        j, count = _columns(t, p, n)
        # offset i - j of the product = offset of the entry of A, plus t
        first, last = max(-upper, t - upper_a), min(lower, t - upper_a + a.shape[-2] - 1)
        if not count or last < first:
            continue
        entries = a[..., first - t + upper_a : last - t + upper_a + 1, j + t : j + t + count]
        shown = product[..., first + upper : last + upper + 1, j : j + count]
        _add_product(shown, entries, b[..., row, None, j : j + count])
    return product
