"""Problems of Hock & Schittkowski (1981, Lecture Notes in Economics and Mathematical Systems 187), by their numbers.

In the book's unknowns x1, x2, ..., from its starts, with the optima that it gives, in closed form where it has one.
"""

from collections.abc import Callable, Sequence
from math import asin, inf, log, pi, sqrt
from typing import Any

import torch
from torch import Tensor

from banded.problems import Problem

Of = Callable[..., Any]  # of the unknowns, one by one: f, a constraint, or a tuple of such
Limit = float | Sequence[float] | None


def vector(numbers: float | Sequence[float]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.float64)


def apart(function: Of) -> Callable[[Tensor], Any]:
    """The same function, of the vector of all unknowns."""
    return lambda x: function(*x.unbind())


def problem(
    f: Of,
    start: Sequence[float],
    optimum: float,
    *,
    equality: Of | None = None,
    inequality: Of | None = None,
    lower: Limit = None,
    upper: Limit = None,
) -> Problem:
    """`equality` is to be 0, `inequality` not negative; one number limits all unknowns."""
    return Problem(
        apart(f),
        vector(start),
        equality and apart(equality),
        inequality and apart(inequality),
        (vector(-inf if lower is None else lower), vector(inf if upper is None else upper)),
        optimum=optimum,
    )


def banana(x1: Tensor, x2: Tensor) -> Tensor:
    """Rosenbrock's."""
    return 100 * (x2 - x1**2) ** 2 + (1 - x1) ** 2


def product(*x: Tensor) -> Tensor:
    return torch.stack(x).prod()


def powers(x1: Tensor, x2: Tensor, x3: Tensor, x4: Tensor, x5: Tensor) -> Tensor:
    return (x1 - x2) ** 2 + (x3 - 1) ** 2 + (x4 - 1) ** 4 + (x5 - 1) ** 6


def on_a_sphere(x1: Tensor, x2: Tensor, x3: Tensor, x4: Tensor, x5: Tensor) -> tuple[Tensor, ...]:
    return x1**2 + x2**2 + x3**2 + x4**2 + x5**2 - 10, x2 * x3 - 5 * x4 * x5, x1**3 + x2**3 + 1


PROBLEMS: dict[int, Problem] = {
    1: problem(banana, [-2, 1], 0, lower=[-inf, -1.5]),
    2: problem(banana, [-2, 1], 0.0504261879, lower=[-inf, 1.5]),
    3: problem(lambda x1, x2: x2 + 1e-5 * (x2 - x1) ** 2, [10, 1], 0, lower=[-inf, 0]),
    4: problem(lambda x1, x2: (x1 + 1) ** 3 / 3 + x2, [1.125, 0.125], 8 / 3, lower=[1, 0]),
    5: problem(
        lambda x1, x2: torch.sin(x1 + x2) + (x1 - x2) ** 2 - 1.5 * x1 + 2.5 * x2 + 1,
        [0, 0],
        -sqrt(3) / 2 - pi / 3,
        lower=[-1.5, -3],
        upper=[4, 3],
    ),
    6: problem(lambda x1, x2: (1 - x1) ** 2, [-1.2, 1], 0, equality=lambda x1, x2: 10 * (x2 - x1**2)),
    7: problem(
        lambda x1, x2: torch.log(1 + x1**2) - x2, [2, 2], -sqrt(3), equality=lambda x1, x2: (1 + x1**2) ** 2 + x2**2 - 4
    ),
    8: problem(lambda x1, x2: 0 * (x1 + x2) - 1, [2, 1], -1, equality=lambda x1, x2: (x1**2 + x2**2 - 25, x1 * x2 - 9)),
    9: problem(
        lambda x1, x2: torch.sin(pi * x1 / 12) * torch.cos(pi * x2 / 16),
        [0, 0],
        -0.5,
        equality=lambda x1, x2: 4 * x1 - 3 * x2,
    ),
    10: problem(lambda x1, x2: x1 - x2, [-10, 10], -1, inequality=lambda x1, x2: -3 * x1**2 + 2 * x1 * x2 - x2**2 + 1),
    11: problem(
        lambda x1, x2: (x1 - 5) ** 2 + x2**2 - 25, [4.9, 0.1], -8.498464223, inequality=lambda x1, x2: -(x1**2) + x2
    ),
    12: problem(
        lambda x1, x2: 0.5 * x1**2 + x2**2 - x1 * x2 - 7 * x1 - 7 * x2,
        [0, 0],
        -30,
        inequality=lambda x1, x2: 25 - 4 * x1**2 - x2**2,
    ),
    13: problem(
        lambda x1, x2: (x1 - 2) ** 2 + x2**2, [-2, -2], 1, inequality=lambda x1, x2: (1 - x1) ** 3 - x2, lower=0
    ),
    14: problem(
        lambda x1, x2: (x1 - 2) ** 2 + (x2 - 1) ** 2,
        [2, 2],
        9 - 2.875 * sqrt(7),
        equality=lambda x1, x2: x1 - 2 * x2 + 1,
        inequality=lambda x1, x2: -0.25 * x1**2 - x2**2 + 1,
    ),
    15: problem(banana, [-2, 1], 306.5, inequality=lambda x1, x2: (x1 * x2 - 1, x1 + x2**2), upper=[0.5, inf]),
    16: problem(
        banana, [-2, 1], 0.25, inequality=lambda x1, x2: (x1 + x2**2, x1**2 + x2), lower=[-0.5, -inf], upper=[0.5, 1]
    ),
    19: problem(
        lambda x1, x2: (x1 - 10) ** 3 + (x2 - 20) ** 3,
        [20.1, 5.84],
        -6961.81381,
        inequality=lambda x1, x2: ((x1 - 5) ** 2 + (x2 - 5) ** 2 - 100, 82.81 - (x2 - 5) ** 2 - (x1 - 6) ** 2),
        lower=[13, 0],
        upper=100,
    ),
    20: problem(
        banana,
        [-2, 1],
        81.5 - 25 * sqrt(3),
        inequality=lambda x1, x2: (x1 + x2**2, x1**2 + x2, x1**2 + x2**2 - 1),
        lower=[-0.5, -inf],
        upper=[0.5, inf],
    ),
    22: problem(
        lambda x1, x2: (x1 - 2) ** 2 + (x2 - 1) ** 2, [2, 2], 1, inequality=lambda x1, x2: (-x1 - x2 + 2, -(x1**2) + x2)
    ),
    23: problem(
        lambda x1, x2: x1**2 + x2**2,
        [3, 1],
        2,
        inequality=lambda x1, x2: (x1 + x2 - 1, x1**2 + x2**2 - 1, 9 * x1**2 + x2**2 - 9, x1**2 - x2, x2**2 - x1),
        lower=-50,
        upper=50,
    ),
    24: problem(
        lambda x1, x2: ((x1 - 3) ** 2 - 9) * x2**3 / (27 * sqrt(3)),
        [1, 0.5],
        -1,
        inequality=lambda x1, x2: (x1 / sqrt(3) - x2, x1 + sqrt(3) * x2, 6 - x1 - sqrt(3) * x2),
        lower=0,
    ),
    26: problem(
        lambda x1, x2, x3: (x1 - x2) ** 2 + (x2 - x3) ** 4,
        [-2.6, 2, 2],
        0,
        equality=lambda x1, x2, x3: (1 + x2**2) * x1 + x3**4 - 3,
    ),
    27: problem(
        lambda x1, x2, x3: 0.01 * (x1 - 1) ** 2 + (x2 - x1**2) ** 2,
        [2, 2, 2],
        0.04,
        equality=lambda x1, x2, x3: x1 + x3**2 + 1,
    ),
    29: problem(
        lambda x1, x2, x3: -x1 * x2 * x3,
        [1, 1, 1],
        -16 * sqrt(2),
        inequality=lambda x1, x2, x3: 48 - x1**2 - 2 * x2**2 - 4 * x3**2,
    ),
    31: problem(
        lambda x1, x2, x3: 9 * x1**2 + x2**2 + 9 * x3**2,
        [1, 1, 1],
        6,
        inequality=lambda x1, x2, x3: x1 * x2 - 1,
        lower=[-10, 1, -10],
        upper=[10, 10, 1],
    ),
    33: problem(
        lambda x1, x2, x3: (x1 - 1) * (x1 - 2) * (x1 - 3) + x3,
        [0, 0, 3],
        sqrt(2) - 6,
        inequality=lambda x1, x2, x3: (x3**2 - x2**2 - x1**2, x1**2 + x2**2 + x3**2 - 4),
        lower=0,
        upper=[inf, inf, 5],
    ),
    34: problem(
        lambda x1, x2, x3: -x1,
        [0, 1.05, 2.9],
        -log(log(10)),
        inequality=lambda x1, x2, x3: (x2 - x1.exp(), x3 - x2.exp()),
        lower=0,
        upper=[100, 100, 10],
    ),
    35: problem(
        lambda x1, x2, x3: 9 - 8 * x1 - 6 * x2 - 4 * x3 + 2 * x1**2 + 2 * x2**2 + x3**2 + 2 * x1 * x2 + 2 * x1 * x3,
        [0.5, 0.5, 0.5],
        1 / 9,
        inequality=lambda x1, x2, x3: 3 - x1 - x2 - 2 * x3,
        lower=0,
    ),
    37: problem(
        lambda x1, x2, x3: -x1 * x2 * x3,
        [10, 10, 10],
        -3456,
        inequality=lambda x1, x2, x3: (72 - x1 - 2 * x2 - 2 * x3, x1 + 2 * x2 + 2 * x3),
        lower=0,
        upper=42,
    ),
    38: problem(
        lambda x1, x2, x3, x4: (
            banana(x1, x2)
            + 90 * (x4 - x3**2) ** 2
            + (1 - x3) ** 2
            + 10.1 * ((x2 - 1) ** 2 + (x4 - 1) ** 2)
            + 19.8 * (x2 - 1) * (x4 - 1)
        ),
        [-3, -1, -3, -1],
        0,
        lower=-10,
        upper=10,
    ),
    39: problem(
        lambda x1, x2, x3, x4: -x1,
        [2, 2, 2, 2],
        -1,
        equality=lambda x1, x2, x3, x4: (x2 - x1**3 - x3**2, x1**2 - x2 - x4**2),
    ),
    40: problem(
        lambda *x: -product(*x),
        [0.8, 0.8, 0.8, 0.8],
        -0.25,
        equality=lambda x1, x2, x3, x4: (x1**3 + x2**2 - 1, x1**2 * x4 - x3, x4**2 - x2),
    ),
    41: problem(
        lambda x1, x2, x3, x4: 2 - x1 * x2 * x3,
        [2, 2, 2, 2],
        52 / 27,
        equality=lambda x1, x2, x3, x4: x1 + 2 * x2 + 2 * x3 - x4,
        lower=0,
        upper=[1, 1, 1, 2],
    ),
    43: problem(
        lambda x1, x2, x3, x4: x1**2 + x2**2 + 2 * x3**2 + x4**2 - 5 * x1 - 5 * x2 - 21 * x3 + 7 * x4,
        [0, 0, 0, 0],
        -44,
        inequality=lambda x1, x2, x3, x4: (
            8 - x1**2 - x2**2 - x3**2 - x4**2 - x1 + x2 - x3 + x4,
            10 - x1**2 - 2 * x2**2 - x3**2 - 2 * x4**2 + x1 + x4,
            5 - 2 * x1**2 - x2**2 - x3**2 - 2 * x1 + x2 + x4,
        ),
    ),
    46: problem(
        powers,
        [sqrt(2) / 2, 1.75, 0.5, 2, 2],
        0,
        equality=lambda x1, x2, x3, x4, x5: (x1**2 * x4 + torch.sin(x4 - x5) - 1, x2 + x3**4 * x4**2 - 2),
    ),
    49: problem(
        powers, [10, 7, 2, -3, 0.8], 0, equality=lambda x1, x2, x3, x4, x5: (x1 + x2 + x3 + 4 * x4 - 7, x3 + 5 * x5 - 6)
    ),
    56: problem(
        lambda x1, x2, x3, *_: -x1 * x2 * x3,
        [1, 1, 1, *[asin(sqrt(1 / 4.2))] * 3, asin(sqrt(5 / 7.2))],
        -3.456,
        equality=lambda x1, x2, x3, x4, x5, x6, x7: (
            x1 - 4.2 * torch.sin(x4) ** 2,
            x2 - 4.2 * torch.sin(x5) ** 2,
            x3 - 4.2 * torch.sin(x6) ** 2,
            x1 + 2 * x2 + 2 * x3 - 7.2 * torch.sin(x7) ** 2,
        ),
    ),
    60: problem(
        lambda x1, x2, x3: (x1 - 1) ** 2 + (x1 - x2) ** 2 + (x2 - x3) ** 4,
        [2, 2, 2],
        0.03256820025,
        equality=lambda x1, x2, x3: x1 * (1 + x2**2) + x3**4 - 4 - 3 * sqrt(2),
        lower=-10,
        upper=10,
    ),
    61: problem(
        lambda x1, x2, x3: 4 * x1**2 + 2 * x2**2 + 2 * x3**2 - 33 * x1 + 16 * x2 - 24 * x3,
        [0, 0, 0],
        -143.6461422,
        equality=lambda x1, x2, x3: (3 * x1 - 2 * x2**2 - 7, 4 * x1 - x3**2 - 11),
    ),
    63: problem(
        lambda x1, x2, x3: 1000 - x1**2 - 2 * x2**2 - x3**2 - x1 * x2 - x1 * x3,
        [2, 2, 2],
        961.7151721,
        equality=lambda x1, x2, x3: (8 * x1 + 14 * x2 + 7 * x3 - 56, x1**2 + x2**2 + x3**2 - 25),
        lower=0,
    ),
    64: problem(
        lambda x1, x2, x3: 5 * x1 + 5e4 / x1 + 20 * x2 + 72e3 / x2 + 10 * x3 + 144e3 / x3,
        [1, 1, 1],
        6299.842428,
        inequality=lambda x1, x2, x3: 1 - 4 / x1 - 32 / x2 - 120 / x3,
        lower=1e-5,
    ),
    65: problem(
        lambda x1, x2, x3: (x1 - x2) ** 2 + (x1 + x2 - 10) ** 2 / 9 + (x3 - 5) ** 2,
        [-5, 5, 0],
        0.9535288567,
        inequality=lambda x1, x2, x3: 48 - x1**2 - x2**2 - x3**2,
        lower=[-4.5, -4.5, -5],
        upper=[4.5, 4.5, 5],
    ),
    66: problem(
        lambda x1, x2, x3: 0.2 * x3 - 0.8 * x1,
        [0, 1.05, 2.9],
        0.5181632741,
        inequality=lambda x1, x2, x3: (x2 - x1.exp(), x3 - x2.exp()),
        lower=0,
        upper=[100, 100, 10],
    ),
    71: problem(
        lambda x1, x2, x3, x4: x1 * x4 * (x1 + x2 + x3) + x3,
        [1, 5, 5, 1],
        17.0140173,
        equality=lambda x1, x2, x3, x4: x1**2 + x2**2 + x3**2 + x4**2 - 40,
        inequality=lambda *x: product(*x) - 25,
        lower=1,
        upper=5,
    ),
    72: problem(
        lambda x1, x2, x3, x4: 1 + x1 + x2 + x3 + x4,
        [1, 1, 1, 1],
        727.67937,
        inequality=lambda x1, x2, x3, x4: (
            0.0401 - 4 / x1 - 2.25 / x2 - 1 / x3 - 0.25 / x4,
            0.010085 - 0.16 / x1 - 0.36 / x2 - 0.64 / x3 - 0.64 / x4,
        ),
        lower=0.001,
        upper=[4e5, 3e5, 2e5, 1e5],
    ),
    77: problem(
        lambda x1, x2, x3, x4, x5: (x1 - 1) ** 2 + powers(x1, x2, x3, x4, x5),
        [2, 2, 2, 2, 2],
        0.24150513,
        equality=lambda x1, x2, x3, x4, x5: (
            x1**2 * x4 + torch.sin(x4 - x5) - 2 * sqrt(2),
            x2 + x3**4 * x4**2 - 8 - sqrt(2),
        ),
    ),
    78: problem(product, [-2, 1.5, 2, -1, -1], -2.91970041, equality=on_a_sphere),
    80: problem(
        lambda *x: product(*x).exp(),
        [-2, 2, 2, -1, -1],
        0.0539498478,
        equality=on_a_sphere,
        lower=[-2.3, -2.3, -3.2, -3.2, -3.2],
        upper=[2.3, 2.3, 3.2, 3.2, 3.2],
    ),
    93: problem(
        lambda x1, x2, x3, x4, x5, x6: (
            (0.0204 + 0.0607 * x5**2) * x1 * x4 * (x1 + x2 + x3)
            + (0.0187 + 0.0437 * x6**2) * x2 * x3 * (x1 + 1.57 * x2 + x4)
        ),
        [5.54, 4.4, 12.02, 11.82, 0.702, 0.852],
        135.075961,
        inequality=lambda x1, x2, x3, x4, x5, x6: (
            0.001 * x1 * x2 * x3 * x4 * x5 * x6 - 2.07,
            1 - 0.00062 * x1 * x4 * x5**2 * (x1 + x2 + x3) - 0.00058 * x2 * x3 * x6**2 * (x1 + 1.57 * x2 + x4),
        ),
        lower=0,
    ),
    100: problem(
        lambda x1, x2, x3, x4, x5, x6, x7: (
            (x1 - 10) ** 2
            + 5 * (x2 - 12) ** 2
            + x3**4
            + 3 * (x4 - 11) ** 2
            + 10 * x5**6
            + 7 * x6**2
            + x7**4
            - 4 * x6 * x7
            - 10 * x6
            - 8 * x7
        ),
        [1, 2, 0, 4, 0, 1, 1],
        680.6300573,
        inequality=lambda x1, x2, x3, x4, x5, x6, x7: (
            127 - 2 * x1**2 - 3 * x2**4 - x3 - 4 * x4**2 - 5 * x5,
            282 - 7 * x1 - 3 * x2 - 10 * x3**2 - x4 + x5,
            196 - 23 * x1 - x2**2 - 6 * x6**2 + 8 * x7,
            -4 * x1**2 - x2**2 + 3 * x1 * x2 - 2 * x3**2 - 5 * x6 + 11 * x7,
        ),
    ),
}
