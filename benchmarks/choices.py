"""The measurements behind the choices in docs/how-it-works.md: noise, rounds.

OMP_NUM_THREADS=1 python benchmarks/choices.py
"""

import importlib
import timeit
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import banded
from banded.hessian import layout
from banded.hessian.products import loop
from banded.hessian.verify import testify
from banded.optimize.multipliers import AugmentedLagrangian
from banded.problems import cartpole


def noise(n: int, seed: int) -> float:
    """Smoothed total variation in float32: largest deviation of its correct band, in units of the measured noise."""
    torch.manual_seed(seed)
    y = 0.1 * torch.randn(n)

    def f(x: Tensor) -> Tensor:
        return (x - y).square().sum() + ((x[1:] - x[:-1]).square() + 1e-12).sqrt().sum()

    run = loop(f)
    witness = testify(lambda x, probes: run(x, probes)[2], y, torch.Generator().manual_seed(seed))
    H = banded.hessian(f, y, bandwidth=1, check=False)
    difference = (witness.product - H @ witness.v).abs()
    return float((difference / witness.noise(H))[difference > 1e-5].max())


def rounds(gate: float, growth: float, start: float) -> str:
    """Newton steps on the cart-pole of 50, 100, 200 and 400 nodes."""
    multipliers: Any = importlib.import_module("banded.optimize.multipliers")
    direction: Any = importlib.import_module("banded.optimize.direction")
    cells = []
    with (
        patch.object(multipliers, "GATE", gate),
        patch.object(multipliers, "START", start),
        patch.object(direction, "GROWTH", growth),
    ):
        for nodes in (50, 100, 200, 400):
            result = cartpole(nodes).solve(progress=False, max_iterations=300)
            cells.append(f"{result.iterations}{'' if result.success else ' (' + result.status.name.lower() + ')'}")
    return " / ".join(cells)


def main() -> None:
    torch.set_num_threads(1)
    print(
        "rounding of f: largest deviation in units of the noise,", *(f"{noise(3_000, seed):.1f}" for seed in range(4))
    )
    problem = cartpole(100)
    assert problem.equality is not None
    lagrangian = AugmentedLagrangian(
        problem.objective, problem.equality, layout(problem.start, None, 0), problem.start.reshape(-1)
    )
    for method in ("direct", "symmetric"):
        plan = banded.plan(lagrangian, problem.start, bandwidth=6, method=method)
        seconds = min(timeit.repeat(lambda plan=plan: plan(problem.start), number=1, repeat=200))  # type: ignore[misc]
        print(f"cart-pole, {method}: {plan.products} products, {seconds * 1e3:.2f} ms")
    print("Newton steps on the cart-pole, 50 / 100 / 200 / 400 nodes")
    for start in (0.1, 1.0, 100.0):
        for gate in (0.01, 0.1, 0.5, 10.0):
            if start < 100 or gate == 0.01:
                print(
                    f"ρ from {start:g}, round ends at {gate:g} ρ Σ c²:",
                    *(f"  δ x {g:g}: {rounds(gate, g, start)}" for g in (4, 10)),
                )


if __name__ == "__main__":
    main()
