"""Some problems of casadi_problems.py as functions of PyTorch, solved by pounce, an interior-point method in Rust.

    pip install casadi pounce-solver
    OMP_NUM_THREADS=1 python benchmarks/pounce_problems.py [--only cartpole hager1 ...] [--sizes 100 1000]
                                                           [--ways dense sparse given]

pounce takes f and g, and their derivatives from torch.func. Its ways:

    dense   the default: all of the Jacobian and of the Hessian, of which the entries are picked
    sparse  a product for each colour; the sparsity from a product for each unknown, at three random points
    given   the same with the sparsity given, by CasADi outside the time

Set-up is all from the functions to a problem that is ready. The fastest of `--repeat` solves counts; there is one
where it takes longer than 2 s.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import comb
from typing import Any

import casadi_problems
import kelly
import numpy as np
import torch
from casadi_problems import PATIENCE, Nlp, Solution, ca
from torch import Tensor

WAYS = ("dense", "sparse", "given")


@dataclass(frozen=True)
class InTorch:
    """min f(x), `(n,) -> ()`, under g(x), `(n,) -> (m,)`; bounds and start are those of `nlp`."""

    nlp: Nlp
    f: Callable[[Tensor], Tensor]
    g: Callable[[Tensor], Tensor]


def patterns(nlp: Nlp) -> dict[str, tuple[np.ndarray, ...]]:
    """Rows and columns of the Jacobian, and of the lower half of the Lagrangian's Hessian."""
    multipliers = ca.SX.sym("y", len(nlp.lbg))
    hessian = ca.hessian(nlp.f + ca.dot(multipliers, nlp.g), nlp.x)[0]
    both = {"jac_pattern": ca.jacobian_sparsity(nlp.g, nlp.x), "hess_pattern": ca.tril(hessian).sparsity()}
    return {name: tuple(np.array(indices) for indices in found.get_triplet()) for name, found in both.items()}


def solve(problem: InTorch, tolerance: float = 1e-8, way: str = "sparse") -> Solution:
    """pounce with its own settings but for the tolerance; `way` as above."""
    nlp, make = problem.nlp, importlib.import_module("pounce.torch").from_torch
    options: dict[str, Any] = {"sparse": way != "dense"} | (patterns(nlp) if way == "given" else {})
    start = time.perf_counter()
    bounds = {"lb": nlp.lbx, "ub": nlp.ubx, "cl": nlp.lbg, "cu": nlp.ubg}
    solver = make(problem.f, problem.g, n=len(nlp.x0), m=len(nlp.lbg), **bounds, **options)
    solver.add_option("tol", tolerance)
    solver.add_option("print_level", 0)
    ready = time.perf_counter()
    x, info = solver.solve(x0=nlp.x0)
    seconds = time.perf_counter() - ready
    return Solution(info["obj_val"], info["iter_count"], seconds, ready - start, info["status_msg"], x)


def hager1(intervals: int = 1000) -> InTorch:
    h = 1 / intervals

    def f(z: Tensor) -> Tensor:
        return z[-1] ** 2 / 2 + h / 2 * z[1::2].square().sum()

    def g(z: Tensor) -> Tensor:
        x, u = z[0::2], z[1::2]
        return (1 / h - 0.5) * x[1:] - (1 / h + 0.5) * x[:-1] - u

    return InTorch(casadi_problems.hager1(intervals), f, g)


def liswet1(size: int = 100, order: int = 3) -> InTorch:
    n = size + order
    i = torch.arange(n, dtype=torch.float64)
    data = (i / (n - 1)).sqrt() + 0.1 * torch.sin(i + 1)

    def f(x: Tensor) -> Tensor:
        return (x - data).square().sum() / 2

    def g(x: Tensor) -> Tensor:
        terms = [(-1) ** i * comb(order, i) * x[order - i : n - i] for i in range(order + 1)]
        return torch.stack(terms).sum(0)

    return InTorch(casadi_problems.liswet1(size, order), f, g)


def corkscrw(intervals: int = 100) -> InTorch:
    T, length, mass, radius = intervals, 10.0, 0.37, 0.1
    h = length / T
    weights = torch.arange(1, T + 1, dtype=torch.float64) * h / (length * (T + 1) / 2)

    def f(v: Tensor) -> Tensor:
        return weights @ (v[9::9] - length).square()  # x_1, x_2, ...

    def g(v: Tensor) -> Tensor:
        nodes = torch.cat([v.new_zeros(3), v]).reshape(T + 1, 9)
        u, position, velocity = nodes[1:, :3], nodes[:, 3:6], nodes[:, 6:]
        x, y, z = position[1:].T
        forces = mass / h * velocity.diff(dim=0) - u
        moves = position.diff(dim=0) / h - velocity[1:]
        tube = (y - x.sin()).square() + (z - x.cos()).square() - radius**2
        return torch.cat([forces, moves, tube[:, None]], 1).reshape(-1)

    return InTorch(casadi_problems.corkscrw(intervals), f, g)


def cartpole(intervals: int = 100) -> InTorch:
    problem = kelly.cartpole(intervals)
    assert problem.equality is not None
    return InTorch(casadi_problems.cartpole(intervals), problem.objective, problem.equality)


PROBLEMS: dict[str, tuple[Callable[[int], InTorch], int]] = {
    "cartpole": (cartpole, 100),
    "hager1": (hager1, 1000),
    "corkscrw": (corkscrw, 100),
    "liswet1": (liswet1, 100),
}


def row(title: str, problem: InTorch, repeat: int, way: str) -> str:
    best = solve(problem, way=way)
    for _ in range(repeat - 1 if best.seconds < PATIENCE else 0):
        best = min(best, solve(problem, way=way), key=lambda solution: solution.seconds)
    return (
        f"{title:30}{len(problem.nlp.x0):8,}{len(problem.nlp.lbg):8,}{best.iterations:6}  {best.status:26}"
        f"{best.value:20.12g}{best.seconds * 1e3:12.1f}{best.setup * 1e3:12.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=[*PROBLEMS])
    parser.add_argument("--sizes", type=int, nargs="+", help="intervals, instead of a size for each problem")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'problem':30}{'n':>8}{'m':>8}{'iter':>6}  {'status':26}{'optimum':>20}{'solve ms':>12}{'set-up ms':>12}")
    for name in options.only:
        problem, usual = PROBLEMS[name]
        for size in options.sizes or [usual]:
            for way in options.ways:
                print(row(f"{name} {size}, {way}", problem(size), options.repeat, way), flush=True)


if __name__ == "__main__":
    main()
