"""What runs between the nodes: polynomials in each interval, and how well they obey the dynamics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

ABSCISSAE, WEIGHTS = (torch.from_numpy(one) for one in np.polynomial.legendre.leggauss(8))


class Point(NamedTuple):
    """States `(..., nx)` and controls `(..., nu)` at times."""

    x: Tensor
    u: Tensor


class Samples(NamedTuple):
    """Times `(P,)`, and states `(P, nx)` and controls `(P, nu)` there."""

    t: Tensor
    x: Tensor
    u: Tensor


@dataclass(frozen=True, eq=False)
class Curves:
    """States and controls as polynomials of τ from 0 to 1 in each interval, Σ_q c_q τ^q.

    Attributes:
        t: `(T,)`: the nodes.
        x: `(N, q, nx)`: coefficients, that of τ⁰ first.
        u: `(N, q, nu)`: likewise.
    """

    t: Tensor
    x: Tensor
    u: Tensor

    def __call__(self, t: Tensor) -> Point:
        """At times `(...)` within those of the nodes."""
        interval = (torch.searchsorted(self.t, t.contiguous(), right=True) - 1).clamp(0, len(self.t) - 2)
        tau = (t - self.t[interval]) / self.t.diff()[interval]
        return Point(value_of(self.x[interval], tau), value_of(self.u[interval], tau))

    def sampled(self, count: int) -> Samples:
        """At `count` times in each interval, its ends among them: where controls jump, both of their values."""
        tau = torch.linspace(0, 1, count, dtype=self.t.dtype).expand(len(self.t) - 1, -1)
        t = self.t[:-1, None] + tau * self.t.diff()[:, None]
        x, u = (value_of(one[:, None], tau).flatten(0, 1) for one in (self.x, self.u))
        return Samples(t.flatten(), x, u)

    def errors(self, dynamics: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Tensor:
        """`(N,)`: the part of each interval in the relative error of the states.

        That is ∫ |dx/dt - f(x, u)| dt over an interval, beside the largest |x| and |dx/dt| of that state, plus 1
        (Betts 2010, Practical Methods for Optimal Control, eq. 4.149 to 4.151).

        Args:
            dynamics: takes x `(P, nx)`, u `(P, nu)` and t `(P,)`, returns dx/dt.
        """
        count, h = len(self.t) - 1, self.t.diff()
        tau = ((ABSCISSAE + 1) / 2).expand(count, -1)
        x, u = value_of(self.x[:, None], tau), value_of(self.u[:, None], tau)
        rates = value_of(_derivative(self.x)[:, None], tau) / h[:, None, None]
        times = self.t[:-1, None] + tau * h[:, None]
        wanted = dynamics(x.flatten(0, 1), u.flatten(0, 1), times.flatten()).reshape(rates.shape)
        size = torch.maximum(x.abs().amax((0, 1)), rates.abs().amax((0, 1))) + 1
        return ((wanted - rates).abs() * (WEIGHTS / 2)[:, None]).sum(1).mul(h[:, None]).div(size).amax(1)


def value_of(coefficients: Tensor, tau: Tensor) -> Tensor:
    """`(..., n)`, of `(..., q, n)` at `(...)`, by Horner's rule."""
    found = torch.zeros_like(coefficients[..., 0, :] * tau[..., None])
    for one in reversed(coefficients.unbind(-2)):
        found = found * tau[..., None] + one
    return found


def _derivative(coefficients: Tensor) -> Tensor:
    """With respect to τ."""
    powers = torch.arange(1, coefficients.shape[1], dtype=coefficients.dtype)
    return coefficients[:, 1:] * powers[:, None]
