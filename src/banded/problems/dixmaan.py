"""The sixteen DIXMAAN problems of CUTEst, one function with different weights.

With n = 3 m unknowns, indices from 1,

    1 + Σ_{i=1..n} (i/n)^k1 x_i² + b Σ_{i=1..n-1} (i/n)^k2 x_i² (x_{i+1} + x_{i+1}²)²
      + g Σ_{i=1..2m} (i/n)^k3 x_i² x_{i+m}⁴ + d Σ_{i=1..m} (i/n)^k4 x_i x_{i+2m},

from x = 2, has its minimum, 1, at x = 0. In the order of the unknowns the half-bandwidth is 2 m. The members with
b = 0, whose names end in 1, fall apart into m blocks of x_i, x_{i+m} and x_{i+2m}; in the others these triples are
a chain whose last is coupled to the first.

OUR2-AN-V-0 in CUTEst's classification. Dixon & Maany (1988, Hatfield Polytechnic, NOC TR 206); M to P are of Lukšan,
Matonoha & Vlček (Czech Academy of Sciences, ICS TR 1081), problem 22. Checked against S2MPJ (Gratton & Toint).
"""

from collections.abc import Callable

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size

EXPONENTS = {"ABCD": (0, 0, 0, 0), "EFGH": (1, 0, 0, 1), "IJKL": (2, 0, 0, 2), "MNOP": (2, 1, 1, 2)}  # k1, k2, k3, k4
WEIGHTS = ((0, 0.125, 0.125), (0.0625, 0.0625, 0.0625), (0.125, 0.125, 0.125), (0.26, 0.26, 0.26))  # b, g, d

# kind: its k1, k2, k3, k4 and b, g, d
MEMBERS = {
    kind: (exponents, weights)
    for kinds, exponents in EXPONENTS.items()
    for kind, weights in zip(kinds, WEIGHTS, strict=True)
}


def dixmaan(nodes: int = 300, kind: str = "A") -> Problem:
    """The member `kind`, "A" to "P", with `nodes` unknowns, a multiple of 3.

    Raises:
        ValueError: for other sizes and kinds.
    """
    if kind not in MEMBERS:
        raise ValueError(f"kind: expected a letter from A to P, got {kind!r}")
    check_size(nodes, 3, multiple=3)
    (k1, k2, k3, k4), (b, g, d) = MEMBERS[kind]
    m = nodes // 3
    t = torch.arange(1, nodes + 1, dtype=torch.float64) / nodes
    weight1, weight2 = t**k1, b * t[:-1] ** k2
    weight3, weight4 = g * t[: 2 * m] ** k3, d * t[:m] ** k4

    def f(x: Tensor) -> Tensor:
        s = x.square()
        value = 1 + (weight1 * s).sum() + (weight4 * x[:m] * x[2 * m :]).sum()
        value = value + (weight3 * s[: 2 * m] * s[m:].square()).sum()
        return value + (weight2 * s[:-1] * (x[1:] + s[1:]).square()).sum() if b else value

    title = f"{name(kind).upper()}, sextic of {nodes} unknowns" + (", in a loop" if b else ", in threes")
    return Problem(f, torch.full((nodes,), 2.0, dtype=torch.float64), title=title, optimum=1.0)


def name(kind: str) -> str:
    """As CUTEst has it, in small letters: dixmaana1, dixmaanb and so on."""
    _, (b, _, _) = MEMBERS[kind]
    return f"dixmaan{kind.lower()}" + ("" if b else "1")


def _member(kind: str) -> Callable[[int], Problem]:
    def make(nodes: int = 300) -> Problem:
        return dixmaan(nodes, kind)

    return make


FAMILY: dict[str, Callable[..., Problem]] = {name(kind): _member(kind) for kind in MEMBERS}
