"""The terms that the method adds to the objective: the barrier of the bounds, and in restoration the proximal one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from banded.optimize.interior.form import Form

DAMPING = 1e-5  # κ_d, of unknowns with one bound, that they do not run away (Wächter & Biegler 2006, §3.7)


def barrier_value(form: Form, v: Tensor, mu: Tensor) -> Tensor:
    """-μ Σ log of the distances to the bounds, damped, `(A,)`; μ `(A, 1)`."""
    if not form.is_bounded:
        return torch.zeros_like(v[:, 0])
    above, below = form.distances(v)
    side = form.one_sided
    damped = torch.where(side > 0, above, 0).sum(1) + torch.where(side < 0, below, 0).sum(1)
    return mu[:, 0] * (DAMPING * damped - above.log().sum(1) - below.log().sum(1))


def barrier_slope(form: Form, v: Tensor, mu: Tensor) -> Tensor:
    """Its gradient, `(A, N)`."""
    if not form.is_bounded:
        return torch.zeros_like(v)
    above, below = form.distances(v)
    return mu * (form.has_upper / below - form.has_lower / above + DAMPING * form.one_sided)


def longest(room: Tensor, step: Tensor, tau: Tensor) -> Tensor:
    """`(..., A)`: the longest part of a step, at most 1, that uses up no more than τ `(A,)` of the room (eq. 15)."""
    used = (-step / torch.where(room > 0, room, 1)).amax(-1)
    return (tau / used.clamp(min=torch.finfo(used.dtype).tiny)).clamp(max=1)


@dataclass(frozen=True, eq=False)
class Proximal:
    """ζ/2 Σ w (v - anchor)² in the objective, ζ = √μ, which keeps restoration near where it began.

    Attributes:
        weight, anchor: `(A, K)`, of the first K unknowns v.
    """

    weight: Tensor
    anchor: Tensor

    def value(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A,)`."""
        return 0.5 * mu[:, 0].sqrt() * (self.weight * self._away(v).square()).sum(1)

    def slope(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A, N)`."""
        return self._padded(mu.sqrt() * self.weight * self._away(v), v)

    def curvature(self, v: Tensor, mu: Tensor) -> Tensor:
        """`(A, N)`."""
        return self._padded(mu.sqrt() * self.weight, v)

    def _away(self, v: Tensor) -> Tensor:
        return v[:, : self.anchor.shape[1]] - self.anchor

    def _padded(self, part: Tensor, v: Tensor) -> Tensor:
        return torch.nn.functional.pad(part, (0, v.shape[1] - part.shape[1]))
