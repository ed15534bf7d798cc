"""Dense matrices for the factorisations, entry by entry or as differentiable lookups, and families to try them on."""

import numpy as np
import torch
from torch import Tensor

import oracles


def dense_symmetric(band: Tensor) -> Tensor:
    """`(..., n, n)` of a lower band; differentiable in its cells, under vmap as well."""
    rows, n = band.shape[-2:]
    i, j = torch.arange(n)[:, None], torch.arange(n)
    apart = (i - j).abs()
    return torch.where(apart < rows, band[..., apart.clamp(max=rows - 1), torch.minimum(i, j)], band.new_zeros(()))


def dense_general(band: Tensor, upper: int, m: int | None = None) -> Tensor:
    """`(..., m, n)` of a general band, likewise."""
    rows, n = band.shape[-2:]
    i, j = torch.arange(n if m is None else m)[:, None], torch.arange(n)
    row = upper + i - j
    return torch.where((row >= 0) & (row < rows), band[..., row.clamp(0, rows - 1), j], band.new_zeros(()))


def general_band(A: np.ndarray, lower: int, upper: int, poison: float = 0.0) -> Tensor:
    """band[upper + i - j, j] = A[i, j], entry by entry; `poison` elsewhere."""
    m, n = A.shape
    band = np.full((lower + upper + 1, n), poison)
    for i in range(m):
        for j in range(n):
            if -upper <= i - j <= lower:
                band[upper + i - j, j] = A[i, j]
    return torch.tensor(band)


def lower_bands(As: np.ndarray, k: int, poison: float = np.nan) -> Tensor:
    """The bands of a batch `(..., n, n)`."""
    one = [oracles.lower_band(A, k, poison) for A in As.reshape(-1, *As.shape[-2:])]
    return torch.stack(one).reshape(*As.shape[:-2], k + 1, As.shape[-1])


def definite_batch(batch: tuple[int, ...], n: int, k: int) -> np.ndarray:
    """Positive definite matrices `(*batch, n, n)`, all different."""
    size = int(np.prod(batch, dtype=int))
    As = [oracles.positive_definite(n, k, seed) for seed in range(size)]
    return np.array(As).reshape(*batch, n, n)


def kkt(stages: int, states: int, controls: int, seed: int, zeros: float = 0.5) -> np.ndarray:
    """The optimality system of a linear-quadratic control problem, stage after stage: x_t, u_t, λ_t.

    λ_t holds x_{t+1} = F x_t + G u_t; of the cost only some entries of the diagonal are not zero.
    """
    rng = np.random.default_rng(seed)
    width = 2 * states + controls
    n = stages * width + states
    A = np.zeros((n, n))
    for t in range(stages + 1):
        at = t * width
        here = states + controls if t < stages else states
        A[range(at, at + here), range(at, at + here)] = rng.uniform(0.5, 2, here) * (rng.random(here) > zeros)
        if t < stages:
            multiplier = slice(at + states + controls, at + width)
            A[multiplier, at : at + states + controls] = -rng.standard_normal((states, states + controls))
            A[multiplier, at + width : at + width + states] = np.eye(states)
            A[: at + width + states, multiplier] = A[multiplier, : at + width + states].T
    return A


def swaps(n: int) -> np.ndarray:
    """[[0, 1], [1, 0]] along the diagonal, and 1 at the end of an odd number."""
    A = np.eye(n)
    for i in range(0, n - 1, 2):
        A[i : i + 2, i : i + 2] = [[0, 1], [1, 0]]
    return A


def backward_error(A: np.ndarray, x: Tensor, b: Tensor) -> float:
    """|b - A x| / (|A| |x| + |b|) in the largest norm, the largest over a batch (Rigal & Gaches 1967)."""
    x_, b_, A = x.double().numpy(), b.double().numpy(), A.astype(float)
    if x_.ndim == A.ndim - 1:
        x_, b_ = x_[..., None], b_[..., None]
    size = np.abs(A).sum(-1).max(-1)[..., None] * np.abs(x_).max(-2) + np.abs(b_).max(-2)
    return float((np.abs(b_ - A @ x_).max(-2) / np.where(size == 0, 1, size)).max(initial=0))


def near(found: Tensor, expected: np.ndarray, rtol: float) -> None:
    """Every entry within `rtol` of the largest."""
    np.testing.assert_allclose(found.detach(), expected, rtol=0, atol=rtol * np.abs(expected).max(initial=1e-300))
