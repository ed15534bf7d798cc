"""Which vectors the Hessian is multiplied with. Indices only, no autograd."""

import torch
from torch import Tensor


def indicators(colors: Tensor, count: int, like: Tensor) -> Tensor:
    """`(count, m)`: row c is 1 where the colour is c, and 0 elsewhere.

    Colours that repeat with period 2k + 1 give the comb 1 0 0 1 0 0 …: no two of
    its teeth share a row of a band of half-bandwidth k, so that one product
    shows the entries of all their columns (Curtis, Powell & Reid 1974, J. Inst.
    Maths Applics 13:117-119).
    """
    return (colors == torch.arange(count, device=colors.device)[:, None]).to(like)


def exponentials(count: int, like: Tensor) -> Tensor:
    """`(count, count)`: real and imaginary parts of exp(-2πi f c / count), for frequencies f from 0 to count // 2.

    Row after row: f = 0, then real and imaginary part of f = 1, 2, …; the
    conjugates beyond half the count tell nothing new.
    """
    phase = 2 * torch.pi * torch.arange(count, dtype=torch.float64) / count
    rows = [torch.ones_like(phase)]
    for f in range(1, count // 2 + 1):
        rows.append((f * phase).cos())
        if 2 * f < count:
            rows.append(-(f * phase).sin())
    return torch.stack(rows).to(like)


def gaussian(n: int, like: Tensor, generator: torch.Generator) -> Tensor:
    """`(n,)` standard normal entries, drawn on the CPU so that every device sees the same."""
    return torch.randn(n, generator=generator, dtype=torch.float64, device="cpu").to(like)


def gaussian_mixture(rows: int, count: int, like: Tensor) -> Tensor:
    """`(rows, count)` standard normal entries, the same every time."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(rows, count, generator=generator, dtype=torch.float64, device="cpu").to(like)
