"""Problems of CUTEst with bounds on the unknowns, and Hessians that are bands.

As in `cutest`: each was checked against S2MPJ (Gratton & Toint), indices in the formulas start at 1, and
classifications such as QBR2 are CUTEst's, where B stands for bounds.
"""

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size


def pentdi(nodes: int = 1000) -> Problem:
    """Júdice's PENTDI, a convex quadratic of half-bandwidth 2 on x >= 0, with minimum -0.75 for n >= 8.

    With m = n / 2, and each linear term as often as it stands here,

        6 Σ x_i² + Σ_{i=1..n-2} (x_i x_{i+2} - 4 x_i x_{i+1}) - 3 x_1 + x_2 + x_{m-1} - 3 x_m + 4 x_{m+1}
          + Σ_{i=m+3..n} x_i

    from x = 0, where every bound is active. The condition number grows with n.
    QBR2-AN-V-0; after Lin & Pang (1987, SIAM J. Control Optim. 25:383-411). `nodes` unknowns, a multiple of 2, at
    least 4.
    """
    check_size(nodes, 4, multiple=2)
    m = nodes // 2
    linear = torch.zeros(nodes, dtype=torch.float64)
    for i, weight in ((1, -3), (2, 1), (m - 1, 1), (m, -3), (m + 1, 4)):
        linear[i - 1] += weight
    linear[m + 2 :] += 1

    def f(x: Tensor) -> Tensor:
        coupled = (x[:-2] * (x[2:] - 4 * x[1:-1])).sum()
        return 6 * x.square().sum() + coupled + (linear * x).sum()

    title = f"PENTDI, quadratic of {nodes} unknowns that are not negative"
    start = torch.zeros(nodes, dtype=torch.float64)
    return Problem(f, start, bounds=(0.0, None), title=title, optimum=-0.75 if nodes >= 8 else None)


def nonscomp(nodes: int = 1000) -> Problem:
    """Lescrenier's NONSCOMP, (x_1 - 1)² + 4 Σ_{i=2..n} (x_i - x_{i-1}²)², with minimum 0 at x = 1.

    -100 <= x_i <= 100, but x_i >= 1 for odd i: bounds that are active at the minimum with multipliers of zero.
    SBR2-AN-V-0; Lescrenier (1989, thesis, FUNDP Namur). `nodes` unknowns, at least 2, from x = 3; half-bandwidth 1.
    """
    check_size(nodes, 2)
    lower = torch.full((nodes,), -100.0, dtype=torch.float64)
    lower[::2] = 1.0  # x_1, x_3 and so on

    def f(x: Tensor) -> Tensor:
        return (x[0] - 1) ** 2 + 4 * ((x[1:] - x[:-1] ** 2) ** 2).sum()

    title = f"NONSCOMP, bounded Rosenbrock function of {nodes} unknowns"
    start = torch.full((nodes,), 3.0, dtype=torch.float64)
    return Problem(f, start, bounds=(lower, 100.0), title=title, optimum=0.0)


def chenhark(nodes: int = 1000, free: int | None = None, degenerate: int | None = None) -> Problem:
    """Chen and Harker's CHENHARK, ½ xᵀ A x + qᵀ x on x >= 0, with minimum -2.

    The rows of A are 1, -4, 6, -4, 1, and q is such that the solution is s: 1 for the first `free` unknowns and 0 for
    the others, the first `degenerate` of which have multipliers of zero. CUTEst's files say -0.5, which their own data
    do not attain: the minimum is -½ sᵀ A s = -½ (6 nf - 8 (nf - 1) + 2 (nf - 2)) for nf = `free`.
    QBR2-AN-V-V; Chen & Harker (1993, SIAM J. Matrix Anal. Appl. 14:1168-1190).

    Args:
        nodes: n, at least 2; half-bandwidth 2.
        free: at least 2; n // 2 if None.
        degenerate: n // 5 if None; at most n - `free`.
    """
    check_size(nodes, 2)
    free = max(nodes // 2, 2) if free is None else free
    degenerate = min(nodes // 5, nodes - free) if degenerate is None else degenerate
    check_size(free, 2, name="free")
    check_size(degenerate, 0, name="degenerate")
    if free + degenerate > nodes:
        raise ValueError(f"free + degenerate: expected at most nodes = {nodes}, got {free} + {degenerate}")
    i = torch.arange(1, nodes + 1)
    solution = (i <= free).double()
    q = (i > free + degenerate).double() - _padded(solution).diff(n=4)

    def f(x: Tensor) -> Tensor:
        return 0.5 * _padded(x).diff(n=2).square().sum() + (q * x).sum()

    title = f"CHENHARK, quadratic of {nodes} unknowns, {free} of them free and {degenerate} degenerate"
    start = torch.full((nodes,), 0.5, dtype=torch.float64)
    return Problem(f, start, bounds=(0.0, None), title=title, optimum=-2.0)


def _padded(x: Tensor) -> Tensor:
    """Two zeros on either side, whose second differences give x_1, x_2 - 2 x_1, ..., x_n."""
    return torch.nn.functional.pad(x, (2, 2))
