"""A chain of length 4 hangs between two points a distance of 1 apart, as low as it can.

    min ∫ x √(1 + u²) ds,   x' = u,   ∫ √(1 + u²) ds = 4,   x(0) = 1,   x(1) = 3,

with x the height and u the slope: the problem "chain" of COPS 3 (Dolan, Moré & Munson 2004, Argonne, ANL/MCS-TM-273),
where the integrals, up to s, are states called energy and length. By the trapezoidal rule on N intervals; the minimum
tends to that of the catenary, 5.0684801110. The start is COPS's: height 1 - 2 s + 4 s² and slope 8 s - 2 at s = k/N,
the slope for the length as well, and their product for the energy.
"""

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size, unbounded

MINIMA = {100: 5.06978461, 199: 5.06892086, 200: 5.06891734, 400: 5.06862170, 800: 5.06852418}


def hanging(nodes: int = 200) -> Problem:
    """`nodes` intervals, at least 2; per node, of which there is one more, height, energy, length and slope.

    Fixed are height, energy and length at the left end, 1, 0 and 0, and height and length at the right end, 3 and 4.
    Half-bandwidth 3; the rows of the constraints' Jacobian span 8 unknowns.
    """
    check_size(nodes, 2)

    def residuals(z: Tensor) -> Tensor:
        states = z.reshape(-1, 4)
        height, slope = states[:, 0], states[:, 3]
        stretch = (1 + slope**2).sqrt()
        rates = torch.stack([slope, height * stretch, stretch], 1)
        change = states[1:, :3] - states[:-1, :3]
        return (change - (rates[1:] + rates[:-1]) / (2 * nodes)).flatten()

    def columns(z: Tensor) -> dict[str, Tensor]:
        s = torch.arange(nodes + 1, dtype=torch.float64) / nodes
        return dict(zip(("s", "height", "energy", "length", "slope"), (s, *z.reshape(-1, 4).unbind(1)), strict=True))

    lower, upper = unbounded(4 * (nodes + 1))
    for bound in (lower, upper):
        bound[:3] = torch.tensor([1.0, 0, 0])
        bound[-4], bound[-2] = 3, 4
    return Problem(
        lambda z: z[-3],  # the energy of all
        _guess(nodes).clamp(lower, upper),
        equality=residuals,
        bounds=(lower, upper),
        title=f"hanging chain, {nodes} intervals, trapezoidal rule",
        columns=columns,
        optimum=MINIMA.get(nodes),
    )


def _guess(nodes: int) -> Tensor:
    """`(4 (nodes + 1),)`, as COPS has it, before the ends are fixed."""
    s = torch.arange(nodes + 1, dtype=torch.float64) / nodes
    slope = 8 * (s - 0.25)
    height = 8 * s * (s / 2 - 0.25) + 1
    return torch.stack([height, slope * height, slope, slope], 1).flatten()
