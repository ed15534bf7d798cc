"""Problems of CUTEst with constraints that couple neighbours in a chain.

As in `cutest`: each was checked against S2MPJ (Gratton & Toint), indices in the formulas start at 1, and
classifications such as OOR2 are CUTEst's: the second letter is the constraints' kind (Linear, Other).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size

SHIFTS = (-0.002008, -0.0019, -0.000261)  # l1, l2, l3 of LUKVLE8


def liswet1(nodes: int = 100, order: int = 3) -> Problem:
    """Li and Swetits's LISWET1, ½ Σ (x_i - g_i)² with K-th differences of x that are not negative.

        g_i = √((i-1)/(n-1)) + 0.1 sin i,   Σ_{i=0..K} (-1)^i binom(K, i) x_{j+K-i} >= 0,  j = 1..N

    A convex regression; the multipliers are badly conditioned. QLR2-AN-V-V; Li & Swetits (1993, SIAM J. Optim.
    3:466-488).

    Args:
        nodes: N, the number of differences, at least 1; there are n = N + K unknowns.
        order: K, at least 1; the rows of the constraints' Jacobian span K + 1 unknowns.
    """
    check_size(nodes, 1)
    check_size(order, 1, name="order")
    n = nodes + order
    i = torch.arange(1, n + 1, dtype=torch.float64)
    data = ((i - 1) / (n - 1)).sqrt() + 0.1 * i.sin()

    def f(x: Tensor) -> Tensor:
        return 0.5 * (x - data).square().sum()

    known = {(50, 3): 0.1224093, (100, 3): 0.2474970, (400, 2): 1.452589}
    known |= {(1000, 3): 2.504493, (2000, 2): 7.221895, (10_000, 2): 36.12062}
    return Problem(
        f,
        torch.zeros(n, dtype=torch.float64),
        inequality=lambda x: x.diff(n=order),
        title=f"LISWET1, regression of {n} points with differences of order {order} that are not negative",
        optimum=known.get((nodes, order)),
    )


def lukvle8(nodes: int = 100, scaled: bool = True) -> Problem:
    """Lukšan and Vlček's LUKVLE8, a sum over groups of five unknowns on which a boundary value problem is imposed.

    With p, q, r, s, t for x_{5i-4} to x_{5i}, and h = 1 / (n + 1),

        Σ_{i=1..n/5} exp(p q r s t) + 10 (p² + q² + r² + s² + t² - 10 - l1)² + 10 (q r - 5 s t - l2)²
          + 10 (p³ + q³ + 1 - l3)²
        c_k = 2 x_{k+1} - x_k - x_{k+2} + (h²/2) (x_{k+1} + h (k+1) + 1)² = 0,  k = 1..n-2.

    The boundary values are missing, so two degrees of freedom are left. There are several minima; the one given for
    100 and 1000 unknowns is that which an interior point method reaches from the start. Others may reach another.

    c is of the order of h², and a tolerance on c is one on c / h²: if |c| <= 1e-7 is allowed, the minimum for 1000
    unknowns falls from 82605 to 82597. Hence it is c / h² that is to be zero, unless `scaled` is false.
    OOR2-AY-V-V; Lukšan & Vlček (1999, Czech Academy of Sciences, ICS TR 767), problem 5.8.

    Args:
        nodes: n, a multiple of 5; half-bandwidth 4.
        scaled: divide c by h².
    """
    check_size(nodes, 5, multiple=5)
    known = {100: 8255.05243727, 1000: 82605.3777832}
    title = f"LUKVLE8, discrete boundary value constraints on {nodes} unknowns"
    c = _boundary_value(nodes, scaled)
    return Problem(_five_at_a_time, _waves(nodes), equality=c, title=title, optimum=known.get(nodes))


def lukvli8(nodes: int = 100, scaled: bool = True) -> Problem:
    """LUKVLI8: LUKVLE8 with c <= 0, that is, with the inequality -c >= 0.

    There are many minima; the one given for 100 unknowns is that which an interior point method reaches from the
    start. For 1000 it ends in a poor one.
    OOR2-AY-V-V. The arguments are those of `lukvle8`.
    """
    check_size(nodes, 5, multiple=5)
    c = _boundary_value(nodes, scaled)
    title = f"LUKVLI8, discrete boundary value inequalities on {nodes} unknowns"
    known = {100: 7974.60067870}
    return Problem(_five_at_a_time, _waves(nodes), inequality=lambda x: -c(x), title=title, optimum=known.get(nodes))


def _five_at_a_time(x: Tensor) -> Tensor:
    l1, l2, l3 = SHIFTS
    p, q, r, s, t = x.reshape(-1, 5).unbind(1)
    first = p**2 + q**2 + r**2 + s**2 + t**2 - 10 - l1
    second = q * r - 5 * s * t - l2
    third = p**3 + q**3 + 1 - l3
    return ((p * q * r * s * t).exp() + 10 * (first**2 + second**2 + third**2)).sum()


def _boundary_value(n: int, scaled: bool) -> Callable[[Tensor], Tensor]:
    """The constraint c of LUKVLE8, `(n,) -> (n - 2,)`."""
    h = 1 / (n + 1)
    place = h * torch.arange(2, n, dtype=torch.float64) + 1
    scale = h**-2 if scaled else 1.0

    def c(x: Tensor) -> Tensor:
        inner = x[1:-1]
        return scale * (2 * inner - x[:-2] - x[2:] + 0.5 * h**2 * (inner + place) ** 2)

    return c


def _waves(n: int) -> Tensor:
    """-1, 2, -1, 2, ..."""
    start = torch.full((n,), 2.0, dtype=torch.float64)
    start[::2] = -1.0
    return start
