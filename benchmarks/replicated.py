"""The author's way, re-created as the opponent to beat: Newton on the band of a replicated problem.

Used by descent.py.

After P. Zucker, "PyTorch trajectory optimization" (2018). A batch of equal copies of
the problem, each with its own comb probe, gives one Hessian product per copy in one
backward pass; the band is factored by LU, as a general one.
"""

from collections.abc import Callable
from math import pi

import numpy as np
import torch
from scipy.linalg import solve_banded
from torch import Tensor


class Replicated:
    """The cart-pole of `banded.problems` in `copies` equal copies, half-bandwidth at most `copies // 2`.

    The step is halved until L falls, a round ends where the Newton decrement is below
    `cut` of the cost, and ρ grows tenfold after each.
    """

    def __init__(self, nodes: int = 100, copies: int = 15, cut: float = 1e-7) -> None:
        self.nodes, self.copies, self.cut, self.evaluations = nodes, copies, cut, 0
        self.weight = torch.arange(nodes, dtype=torch.float64) / nodes
        self.multipliers = torch.zeros(copies, nodes - 1, 4, dtype=torch.float64)
        self.penalty = 0.1
        self.probes = torch.zeros(copies, 5 * (nodes - 1), dtype=torch.float64)
        for i in range(copies):
            self.probes[i, i::copies] = 1

    def loss(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """L, f and c of all copies together; node 0 of z `(copies, N, 5)` stays at zero."""
        self.evaluations += 1
        force, state = z[:, 1:, 0], z[:, :, 1:]
        middle = (state[:, 1:] + state[:, :-1]) / 2
        rates = torch.zeros(self.copies, self.nodes - 1, 4, dtype=z.dtype)
        rates[..., 0], rates[..., 1], rates[..., 2] = middle[..., 1], force, middle[..., 3]
        rates[..., 3] = force * middle[..., 2].cos() - middle[..., 2].sin()
        c = (state[:, 1:] - state[:, :-1]) * (self.nodes / 10) - rates
        f = 0.1 * z.square().sum() + ((state[..., 2] - pi).square() * self.weight).sum() + 0.5 * force.square().sum()
        return f + self.penalty * c.square().sum() + (self.multipliers * c).sum(), f, c

    def derivatives(self, z: Tensor) -> tuple[Tensor, Tensor, Tensor, np.ndarray, np.ndarray]:
        """L, f, c, one copy's gradient, and its Hessian `(copies, n)` as `solve_banded` takes it."""
        z = z.requires_grad_()
        total, f, c = self.loss(z)
        (gradient,) = torch.autograd.grad(total, z, create_graph=True)
        flat = gradient[:, 1:].reshape(self.copies, -1)
        (products,) = torch.autograd.grad((flat * self.probes).sum(), z)
        band = products[:, 1:].reshape(self.copies, -1).numpy()
        for i in range(self.copies):
            band[:, i :: self.copies] = np.roll(band[:, i :: self.copies], self.copies // 2 - i, axis=0)
        return total, f, c, flat.detach().numpy()[0], band

    def solve(self, record: Callable[[int, Tensor, Tensor], None], rounds: int = 10) -> float:
        """f at the end; on the way `record` gets evaluations, f and c, and may raise to stop."""
        z, half = torch.zeros(self.copies, self.nodes, 5, dtype=torch.float64), self.copies // 2
        for _ in range(rounds):
            for _ in range(60):
                total, f, c, gradient, band = self.derivatives(z)
                record(self.evaluations, f / self.copies, c)
                step = solve_banded((half, half), band, gradient)
                z = self.backtrack(z.detach(), torch.from_numpy(step).reshape(-1, 5), float(total.detach()))
                if abs(step @ gradient) < self.cut * float(f.detach()):
                    break
            with torch.no_grad():
                _, f, c = self.loss(z)
                self.multipliers += 2 * self.penalty * c
            self.penalty *= 10
        return float(f / self.copies)

    def backtrack(self, z: Tensor, step: Tensor, total: float) -> Tensor:
        length, there = 1.0, z.clone()
        with torch.no_grad():
            while length > 1e-6:
                there[:, 1:] = z[:, 1:] - length * step
                if float(self.loss(there)[0]) < total:
                    break
                length /= 2
        return there
