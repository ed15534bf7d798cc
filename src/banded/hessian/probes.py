"""Which vectors the Hessian is multiplied with. Indices only, no autograd."""

import torch
from torch import Tensor


def comb(n: int, spacing: int, like: Tensor) -> Tensor:
    """`(min(spacing, n), n)`: row c is 1 at c, c + spacing, c + 2 spacing, …, and 0 elsewhere.

    With spacing 2k + 1, no two teeth of a row share a row of a band of
    half-bandwidth k, so that one product shows the entries of all its columns
    (Curtis, Powell & Reid 1974, J. Inst. Maths Applics 13:117-119). With
    spacing k + 1 at most two teeth meet in a row, which symmetry untangles
    (Powell & Toint 1979, SIAM J. Numer. Anal. 16:1060-1074).
    """
    position = torch.arange(n, device=like.device)
    row = torch.arange(min(spacing, n), device=like.device)
    return (position % spacing == row[:, None]).to(like.dtype)


def gaussian(n: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """`(n,)` standard normal entries, drawn on the CPU so that every device sees the same."""
    return torch.randn(n, generator=generator, dtype=torch.float64, device="cpu").to(like)
