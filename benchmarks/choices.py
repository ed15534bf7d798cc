"""The measurements behind the choices in docs: noise of f, and how a constrained step's system is condensed.

OMP_NUM_THREADS=1 python benchmarks/choices.py
"""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.linalg import LinAlgError, cho_solve, cholesky, null_space
from torch import Tensor
from torch.func import hessian, jacrev

import banded
from banded.hessian.products import loop
from banded.hessian.verify import testify
from banded.problems import Problem, cartpole, corkscrw, dtoc1l, hager1, hanging, lukvle8

EPSILONS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14)
REFINEMENTS = 12
CONDENSED = {
    "hager1": hager1(400),
    "dtoc1l": dtoc1l(100),
    "lukvle8": lukvle8(500),
    "corkscrw": corkscrw(50),
    "cartpole": cartpole(150),
    "hanging": hanging(150),
}


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


def dense(problem: Problem) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """H of f, J with rows of 100 at most, both of the free unknowns at the start, and which of these are bounded."""
    assert problem.equality is not None
    x, shape = problem.start.reshape(-1), problem.start.shape
    lower, upper = (torch.as_tensor(bound).expand(shape).reshape(-1) for bound in problem.bounds or (-np.inf, np.inf))
    free = lower != upper
    c = problem.equality
    J = jacrev(lambda x: c(x.reshape(shape)).reshape(-1))(x)[:, free].numpy()
    H = hessian(lambda x: problem.objective(x.reshape(shape)))(x)[free][:, free].numpy()
    bounded = (lower.isfinite() | upper.isfinite())[free].numpy()
    return H, J * np.minimum(1, 100 / np.abs(J).max(1))[:, None], bounded


def systems(problem: Problem) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """W and J where least squares give multipliers, with δ = 1e-4, and without, each of the right inertia."""
    H, J, bounded = dense(problem)
    W, Z = H + np.diag(bounded.astype(float)), null_space(J)
    yield "W = 1", np.eye(len(H)), J
    for name, one in (("δ = 1e-4", W + 1e-4 * np.eye(len(W))), ("δ = 0", W)):
        if np.linalg.eigvalsh(Z.T @ one @ Z).min() > 1e-9:
            yield name, one, J


def scalings(W: np.ndarray, J: np.ndarray) -> dict[str, np.ndarray]:
    """C for ε = 1, `(m,)` each."""
    size = np.abs(np.diag(W))
    squares = (J**2).sum(1)
    near = np.array([size[row != 0].max(initial=1e-300) for row in J])
    return {
        "1": np.ones(len(J)),
        "|J_i|² / max W of the row": squares / np.maximum(near, 1e-300),
        "|J_i|² / max W": squares / size.max(),
        "Σ J_ij² / W_jj": (J**2 / np.maximum(size, 1e-8 * size.max())).sum(1),
    }


def accuracy(W: np.ndarray, J: np.ndarray, C: np.ndarray) -> float:
    """Relative residual of the full system after refinement; infinite where W + Jᵀ C⁻¹ J is not positive definite."""
    n, m = len(W), len(J)
    K = np.block([[W, J.T], [J, np.zeros((m, m))]])
    b = np.random.default_rng(0).standard_normal(n + m)
    try:
        factor = cholesky(W + (J.T / C) @ J, lower=True), True
    except LinAlgError:
        return float("inf")

    def condensed(b: np.ndarray) -> np.ndarray:
        x = cho_solve(factor, b[:n] + J.T @ (b[n:] / C))
        return np.concatenate([x, (J @ x - b[n:]) / C])

    solution, errors = np.zeros(n + m), []
    for _ in range(REFINEMENTS):
        solution = solution + condensed(b - K @ solution)
        size = np.abs(K).sum(1).max() * np.abs(solution).max() + np.abs(b).max()
        errors.append(float(np.abs(b - K @ solution).max() / size))
    return min(errors)


def condensation() -> Iterator[str]:
    """Lines: the largest residual over all systems, and how many could not be solved to 1e-12, by ε and scaling."""
    found: dict[tuple[float, str], list[float]] = {}
    names: list[str] = []
    for problem in CONDENSED.values():
        for _, W, J in systems(problem):
            for name, C in scalings(W, J).items():
                names = [*names, name] if name not in names else names
                for epsilon in EPSILONS:
                    found.setdefault((epsilon, name), []).append(accuracy(W, J, epsilon * C))
    yield "".join([f"{'ε':8}", *(f"{name:>30}" for name in names)])
    for epsilon in EPSILONS:
        cells = [found[epsilon, name] for name in names]
        texts = [f"{sum(one > 1e-12 for one in cell)} of {len(cell)}, worst {max(cell):.0e}" for cell in cells]
        yield "".join([f"{epsilon:<8.0e}", *(f"{text:>30}" for text in texts)])


def main() -> None:
    torch.set_num_threads(1)
    deviations = [f"{noise(3_000, seed):.1f}" for seed in range(4)]
    print("rounding of f: largest deviation in units of the noise,", *deviations)
    print("condensed systems that refinement does not bring to a residual of 1e-12, and the largest residual")
    print(*condensation(), sep="\n")


if __name__ == "__main__":
    main()
