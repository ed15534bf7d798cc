"""The chained Rosenbrock function, Σ 100 (x_{i+1} - x_i²)² + (1 - x_i)², with minimum 0 at x = 1.

Rosenbrock (1960, Comput. J. 3:175-184), chained as by Toint (1978, Math. Comp. 32:839-851).
"""

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size


def rosenbrock(nodes: int = 100) -> Problem:
    """`nodes` unknowns, at least 2, from x = 0; half-bandwidth 1."""
    check_size(nodes, 2)

    def valley(x: Tensor) -> Tensor:
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    return Problem(
        valley,
        torch.zeros(nodes, dtype=torch.float64),
        bandwidth=1,
        title=f"chained Rosenbrock function of {nodes} unknowns",
    )
