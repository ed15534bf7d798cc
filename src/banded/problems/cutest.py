"""Unconstrained problems of CUTEst whose Hessians are bands, or bands with a border.

Each was checked against S2MPJ (Gratton & Toint), a translation of CUTEst's own files. Indices in the formulas start
at 1. In CUTEst's classification, such as QUR2-AN-V-0, the first letter is the objective's kind (Quadratic, Sum of
squares, Other), and U says that there are no constraints.
"""

from math import acos, cos, sqrt

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size


def tridia(nodes: int = 1000) -> Problem:
    """Shanno's TRIDIA, (x_1 - 1)² + Σ_{i=2..n} i (2 x_i - x_{i-1})², with minimum 0 at x_i = 2^(1-i).

    QUR2-AN-V-0; Toint (1983, FUNDP Namur, report 83/4), problem 8. `nodes` unknowns, at least 2; half-bandwidth 1.
    """
    check_size(nodes, 2)
    i = torch.arange(2, nodes + 1, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        return (x[0] - 1) ** 2 + (i * (2 * x[1:] - x[:-1]) ** 2).sum()

    title = f"TRIDIA, tridiagonal quadratic of {nodes} unknowns"
    return Problem(f, torch.ones(nodes, dtype=torch.float64), title=title, optimum=0.0)


def dixon3dq(nodes: int = 1000) -> Problem:
    """Dixon's DIXON3DQ, (x_1 - 1)² + Σ_{i=2..n-1} (x_i - x_{i+1})² + (x_n - 1)², with minimum 0 at x = 1.

    Nothing couples x_1; the condition number of the rest grows as n².
    QUR2-AN-V-0; Buckley (1989, Dalhousie, TR 1989CS-3), problem 156. `nodes` unknowns, at least 2; half-bandwidth 1.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        return (x[0] - 1) ** 2 + ((x[1:-1] - x[2:]) ** 2).sum() + (x[-1] - 1) ** 2

    title = f"DIXON3DQ, tridiagonal quadratic of {nodes} unknowns"
    return Problem(f, -torch.ones(nodes, dtype=torch.float64), title=title, optimum=0.0)


def bdqrtic(nodes: int = 1000) -> Problem:
    """BDQRTIC, Σ_{i=1..n-4} (3 - 4 x_i)² + (x_i² + 2 x_{i+1}² + 3 x_{i+2}² + 4 x_{i+3}² + 5 x_n²)².

    SUR2-AN-V-0; Conn, Gould, Lescrenier & Toint (1988, FUNDP Namur, report 88/4), problem 61. The minimum, known for
    100, 500 and 1000 unknowns, is 3983.81795058 for 1000. `nodes` unknowns, at least 5; half-bandwidth 3 and a
    border, x_n.
    """
    check_size(nodes, 5)

    def f(x: Tensor) -> Tensor:
        s = x.square()
        quartic = s[:-4] + 2 * s[1:-3] + 3 * s[2:-2] + 4 * s[3:-1] + 5 * s[-1]
        return ((3 - 4 * x[:-4]) ** 2 + quartic**2).sum()

    known = {100: 378.769191809, 500: 1981.01308459, 1000: 3983.81795058}
    title = f"BDQRTIC, bordered quartic of {nodes} unknowns"
    return Problem(f, torch.ones(nodes, dtype=torch.float64), title=title, optimum=known.get(nodes))


def genrose(nodes: int = 1000) -> Problem:
    """GENROSE, 1 + Σ_{i=2..n} 100 (x_i - x_{i-1}²)² + (x_i - 1)², with minimum 1 at x = 1.

    Newton's method from the start, x_i = i / (n + 1), takes about 0.8 n steps.
    SUR2-AN-V-0; Nash (1984, SIAM J. Numer. Anal. 21:770-788), problem 5. `nodes` unknowns, at least 2;
    half-bandwidth 1.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        return 1 + (100 * (x[1:] - x[:-1] ** 2) ** 2 + (x[1:] - 1) ** 2).sum()

    title = f"GENROSE, generalised Rosenbrock function of {nodes} unknowns"
    return Problem(f, _ramp(nodes), title=title, optimum=1.0)


def engval1(nodes: int = 1000) -> Problem:
    """ENGVAL1, Σ_{i=1..n-1} (x_i² + x_{i+1}²)² + 3 - 4 x_i.

    OUR2-AN-V-0; Toint (1983, FUNDP Namur, report 83/4), problem 31. The minimum, known for 50, 100 and 1000 unknowns,
    is 1108.19471879 for 1000. `nodes` unknowns, at least 2; half-bandwidth 1.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        return ((x[:-1] ** 2 + x[1:] ** 2) ** 2 + 3 - 4 * x[:-1]).sum()

    known = {50: 53.5822148852, 100: 109.088136143, 1000: 1108.19471879}
    title = f"ENGVAL1, tridiagonal quartic of {nodes} unknowns"
    return Problem(f, torch.full((nodes,), 2.0, dtype=torch.float64), title=title, optimum=known.get(nodes))


def liarwhd(nodes: int = 1000) -> Problem:
    """LIARWHD, Σ_{i=1..n} 4 (x_i² - x_1)² + (x_i - 1)², with minimum 0 at x = 1.

    SUR2-AN-V-0; Li (1990), simplified from NONDIA. `nodes` unknowns, at least 2; a diagonal and a border, x_1.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        return (4 * (x**2 - x[0]) ** 2 + (x - 1) ** 2).sum()

    title = f"LIARWHD, arrow-shaped quartic of {nodes} unknowns"
    return Problem(f, torch.full((nodes,), 4.0, dtype=torch.float64), title=title, optimum=0.0)


def broydn3dls(nodes: int = 1000) -> Problem:
    """Broyden's tridiagonal equations BROYDN3DLS, Σ ((3 - 2 x_i) x_i - x_{i-1} - 2 x_{i+1} + 1)², with minimum 0.

    i = 1..n, and x_0 = x_{n+1} = 0.
    SUR2-AN-V-0; Moré, Garbow & Hillstrom (1981, ACM Trans. Math. Softw. 7:17-41), problem 30. `nodes` unknowns, at
    least 2; half-bandwidth 2.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (1, 1))
        return (((3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1) ** 2).sum()

    title = f"BROYDN3DLS, tridiagonal equations in {nodes} unknowns"
    return Problem(f, -torch.ones(nodes, dtype=torch.float64), title=title, optimum=0.0)


def curly10(nodes: int = 1000) -> Problem:
    """Gould's CURLY10, Σ_{i=1..n} q_i (q_i (q_i² - 20) - 0.1) with q_i = x_i + ... + x_{min(i+10, n)}.

    Indefinite at the start, x_i = 1e-4 i / (n + 1). x -> q is one to one, so the minimum is n times the least of
    q⁴ - 20 q² - 0.1 q, about -100.316290241 n.
    OUR2-AN-V-0. `nodes` unknowns, at least 2; half-bandwidth 10.
    """
    check_size(nodes, 2)

    def f(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (0, 10))
        q = sum((padded[i : i + nodes] for i in range(1, 11)), padded[:nodes])
        return (q * (q * (q**2 - 20) - 0.1)).sum()

    # the largest root of q³ - 10 q - 0.025, by Viète
    q = 2 * sqrt(10 / 3) * cos(acos(0.00375 * sqrt(0.3)) / 3)
    title = f"CURLY10, quartic of half-bandwidth 10 in {nodes} unknowns"
    return Problem(f, 1e-4 * _ramp(nodes), title=title, optimum=nodes * q * (q * (q**2 - 20) - 0.1))


def _ramp(n: int) -> Tensor:
    """`(n,)`: i / (n + 1), i = 1..n."""
    return torch.arange(1, n + 1, dtype=torch.float64) / (n + 1)
