"""The chain with which the idea began: springs between neighbours, walls at both ends.

    ½ Σ (x_{i+1} - x_i)² + ½ x_0² + ½ x_{n-1}² - x_m

The load, 1, pulls at unknown m = n // 3; the optimum is piecewise linear, with
f = -½ x_m and x_m = (m + 1)(n - m) / (n + 1).
"""

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size


def chain(nodes: int = 12) -> Problem:
    """`nodes` unknowns, at least 2; half-bandwidth 1."""
    check_size(nodes, 2)

    def energy(x: Tensor) -> Tensor:
        stretch = (x[1:] - x[:-1]).square().sum() + x[0].square() + x[-1].square()
        return 0.5 * stretch - x[nodes // 3]

    return Problem(
        energy,
        torch.zeros(nodes, dtype=torch.float64),
        bandwidth=1,
        title=f"chain of {nodes} masses between two walls, one of them pulled",
    )
