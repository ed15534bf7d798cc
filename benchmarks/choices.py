"""The measurements behind the choices in docs/how-it-works.md: recovery, noise, rounds.

OMP_NUM_THREADS=1 python benchmarks/choices.py
"""

import importlib
import timeit
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

import banded
from banded.hessian.products import loop
from banded.hessian.verify import testify
from banded.optimize.multipliers import AugmentedLagrangian
from banded.problems import cartpole


def recovery(n: int, orders: int, method: str, dtype: torch.dtype) -> float:
    """Largest error in units of eps sqrt(H_ii H_jj), k = 2, against direct recovery in float64."""
    torch.manual_seed(0)
    scale = torch.logspace(0, -orders / 2, n, dtype=torch.float64)[torch.randperm(n)]
    weights = [torch.randn(n - 2, dtype=torch.float64) for _ in range(3)]
    x = torch.randn(n, dtype=torch.float64)

    def f(x: Tensor) -> Tensor:
        y = scale.to(x) * x
        t = sum((w.to(x) * y[d : n - 2 + d] for d, w in enumerate(weights)), torch.zeros_like(y[2:]))
        return (t.square() + t.cos()).sum() + y.square().sum()

    exact = banded.hessian(f, x, bandwidth=2).band
    band = banded.hessian(f, x.to(dtype), bandwidth=2, method=method).band.double()
    size, worst = exact[0].abs().sqrt(), 0.0
    for d in range(3):
        error = (band - exact)[d, : n - d].abs() / (size[: n - d] * size[d:])
        worst = max(worst, float(error.max()))
    return worst / torch.finfo(dtype).eps


def noise(n: int, seed: int) -> float:
    """Smoothed total variation in float32: largest deviation of its correct band, in units of the measured noise."""
    torch.manual_seed(seed)
    y = 0.1 * torch.randn(n)

    def f(x: Tensor) -> Tensor:
        return (x - y).square().sum() + ((x[1:] - x[:-1]).square() + 1e-12).sqrt().sum()

    run = loop(f)
    witness = testify(lambda x, probes: run(x, probes)[2], y, torch.Generator().manual_seed(seed))
    difference = (witness.product - banded.hessian(f, y, bandwidth=1, check=False) @ witness.v).abs()
    return float((difference / witness.rounding)[difference > 1e-5].max())


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
        "symmetric recovery, error in eps, float64 / float32, for a diagonal spread over 0, 4, 12 orders of magnitude"
    )
    for n in (200, 2_000, 20_000, 200_000):
        pairs = [[recovery(n, o, "symmetric", t) for t in (torch.float64, torch.float32)] for o in (0, 4, 12)]
        print(f"{n:8d}", *(f"{a:7.0f} /{b:5.0f}" for a, b in pairs))
    print("direct recovery in float32:", *(f"{recovery(n, 12, 'direct', torch.float32):.1f}" for n in (200, 20_000)))
    print(
        "rounding of f: largest deviation in units of the noise,", *(f"{noise(3_000, seed):.1f}" for seed in range(4))
    )
    problem = cartpole(100)
    assert problem.equality is not None
    lagrangian = AugmentedLagrangian(problem.objective, problem.equality, problem.start)
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
