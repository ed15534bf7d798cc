"""Slow, obvious twins of what the library does fast, written from the definitions; and functions to try it on."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def rosenbrock(x: Tensor) -> Tensor:
    """The chained Rosenbrock function: half-bandwidth 1, minimum 0 at 1."""
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def chain(x: Tensor) -> Tensor:
    """Springs between neighbours and to walls at both ends: H is 2 on the diagonal, -1 beside it."""
    return 0.5 * (x[1:] - x[:-1]).square().sum() + 0.5 * x[0] ** 2 + 0.5 * x[-1] ** 2


def wells(x: Tensor) -> Tensor:
    """Double wells at -1 and 1, joined by weak springs: minima 0 at x = 1 and x = -1, a maximum at 0."""
    return (x**2 - 1).square().sum() + 0.1 * (x[1:] - x[:-1]).square().sum()


def cosines(
    n: int, k: int, dtype: torch.dtype = torch.float64
) -> tuple[Callable[[Tensor], Tensor], Tensor, np.ndarray]:
    """f, x and the Hessian at x of f = Σ cos(w_m·x), with the rows w_m of a band matrix.

    H = -Σ cos(w_m·x) w_m w_mᵀ has half-bandwidth min(k, n - 1): NumPy, float64, no autograd.
    """
    rng = np.random.default_rng(100 * n + k)
    W = np.tril(np.triu(rng.standard_normal((n, n))), k)
    x = rng.standard_normal(n)
    H = -W.T @ (np.cos(W @ x)[:, None] * W)
    weights = torch.tensor(W, dtype=dtype)
    return lambda z: (weights @ z).cos().sum(), torch.tensor(x, dtype=dtype), H


def symmetric(n: int, k: int, seed: int = 0) -> np.ndarray:
    """A random symmetric matrix of half-bandwidth k."""
    lower = np.tril(np.triu(np.random.default_rng(seed).standard_normal((n, n)), -k))
    return lower + np.tril(lower, -1).T


def positive_definite(n: int, k: int, seed: int = 0) -> np.ndarray:
    """A random symmetric positive definite matrix of half-bandwidth k: L Lᵀ with a banded, well-conditioned L."""
    L = np.tril(np.triu(np.random.default_rng(seed).standard_normal((n, n)), -k)) / (k + 1)
    np.fill_diagonal(L, 1 + np.abs(np.diag(L)))
    return L @ L.T


def lower_band(A: np.ndarray, k: int, poison: float = 0.0) -> Tensor:
    """band[d, j] = A[j + d, j], entry by entry; `poison` where j + d >= n."""
    n = len(A)
    band = np.full((k + 1, n), poison)
    for d in range(k + 1):
        for j in range(n - d):
            band[d, j] = A[j + d, j]
    return torch.tensor(band)


def bandwidth(A: np.ndarray, tolerance: float = 1e-12) -> int:
    """Largest |i - j| with an entry above the tolerance."""
    i, j = np.nonzero(np.abs(A) > tolerance)
    return int(np.abs(i - j).max(initial=0))


def comb_products(A: np.ndarray, spacing: int) -> Tensor:
    """Products of A with the combs 1 at c, c + spacing, …, one row each."""
    n = len(A)
    rows = []
    for c in range(min(spacing, n)):
        v = np.zeros(n)
        v[c::spacing] = 1
        rows.append(A @ v)
    return torch.tensor(np.array(rows))


def is_star_coloring(A: np.ndarray, colors: list[int]) -> bool:
    """Whether neighbours differ, and every path on four vertices has at least three colours."""
    n = len(A)
    near = [[j for j in range(n) if j != i and A[i, j]] for i in range(n)]
    if any(colors[i] == colors[j] for i in range(n) for j in near[i]):
        return False
    return all(
        len({colors[a], colors[b], colors[c], colors[d]}) >= 3
        for b in range(n)
        for c in near[b]
        for a in near[b]
        for d in near[c]
        if len({a, b, c, d}) == 4
    )


def is_two_sided_coloring(A: np.ndarray, colors: list[int]) -> bool:
    """Whether colours differ among each vertex and its neighbours before it, and among it and those behind."""
    n = len(A)
    return all(
        len({colors[j] for j in side}) == len(side)
        for i in range(n)
        for side in ([j for j in range(i + 1) if j == i or A[i, j]], [j for j in range(i, n) if j == i or A[i, j]])
    )


def model(H: np.ndarray, g: np.ndarray, p: np.ndarray) -> float:
    """The quadratic model gᵀp + ½ pᵀHp."""
    return float(g @ p + 0.5 * p @ H @ p)


def step_within(H: np.ndarray, g: np.ndarray, radius: float) -> np.ndarray:
    """The least point of the quadratic model with ‖p‖ <= radius, by eigenvalues and bisection for λ."""
    w, V = np.linalg.eigh(H)
    c = V.T @ g
    if w[0] > 0 and np.linalg.norm(c / w) <= radius:
        return np.asarray(-V @ (c / w))
    gaps = w - min(w[0], 0.0)  # λ = s - min(w[0], 0), with s > 0 but in the hard case
    flat = gaps <= 1e-12 * np.abs(w).max()
    if np.linalg.norm(c[flat]) <= 1e-12 * np.linalg.norm(c):
        p = np.where(flat, 0.0, -c / np.where(flat, 1.0, gaps))
        room = radius**2 - p @ p
        if room >= 0:
            p[0] += np.sqrt(room)
            return np.asarray(V @ p)
    low, high = 0.0, float(np.linalg.norm(g)) / radius
    for _ in range(200):
        s = 0.5 * (low + high)
        low, high = (s, high) if np.linalg.norm(c / (gaps + s)) > radius else (low, s)
    return np.asarray(-V @ (c / (gaps + high)))


def newton_minimum(f: Callable[[Tensor], Tensor], x: Tensor, steps: int = 50) -> Tensor:
    """Full Newton steps on the dense Hessian, from close by."""
    for _ in range(steps):
        x = x - torch.linalg.solve(torch.func.hessian(f)(x), torch.func.grad(f)(x))
    return x


def failing(f: Callable[[Tensor], Tensor], calls: int) -> Callable[[Tensor], Tensor]:
    """`f`, which raises an error of its user's after so many calls."""
    count = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal count
        count += 1
        if count > calls:
            raise RuntimeError("mine")
        return f(x)

    return counted
