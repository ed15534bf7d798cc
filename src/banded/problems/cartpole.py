"""The cart-pole of P. Zucker, "PyTorch trajectory optimization" (2018), where the idea of this library began.

A cart pulled by a force swings a pole up. Per node, in this order: force f, position x,
velocity v, angle θ (0 hanging, π upright), angular velocity ω, all dimensionless,

    x' = v,   v' = f,   θ' = ω,   ω' = f cos θ - sin θ,

by the midpoint rule on N nodes over 10 s, from rest. The state at node 0 is
fixed at 0; the force at node i acts between nodes i - 1 and i. The cost,

    0.1 Σ z² + Σ (θ_i - π)² i / N + 0.5 Σ f²   (z: all five unknowns of all nodes),

has its optimum for N = 100 at 144.831116, which the method of that article
(dense LU of the band, replicated problem) reaches as well.
"""

from __future__ import annotations

from math import pi
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

DURATION = 10.0
FORCE, ANGLE = 0, 3  # columns of z


def cartpole(nodes: int = 100) -> Problem:
    """The swing-up on `nodes` nodes, at least 2; unknowns `(nodes - 1, 5)`."""
    check_size(nodes, 2)
    step = DURATION / nodes
    weight = torch.arange(1, nodes, dtype=torch.float64) / nodes
    first = torch.zeros(1, 5, dtype=torch.float64)

    def cost(z: Tensor) -> Tensor:
        upright = ((z[:, ANGLE] - pi).square() * weight).sum()
        return 0.1 * z.square().sum() + upright + 0.5 * z[:, FORCE].square().sum()

    def residuals(z: Tensor) -> Tensor:
        before = torch.cat([first, z[:-1]])
        _, _, velocity, angle, rate = ((before + z) / 2).unbind(1)
        force = z[:, FORCE]
        rates = torch.stack([velocity, force, rate, force * angle.cos() - angle.sin()], 1)
        return (z - before)[:, 1:] / step - rates

    def columns(z: Tensor) -> dict[str, Tensor]:
        force, position, velocity, angle, rate = torch.cat([first, z]).unbind(1)
        return {
            "t": torch.arange(nodes, dtype=torch.float64) * step,
            "position": position,
            "velocity": velocity,
            "angle": angle,
            "angular_velocity": rate,
            "force": force,
        }

    return Problem(
        cost,
        torch.zeros(nodes - 1, 5, dtype=torch.float64),
        equality=residuals,
        bandwidth=min(6, 5 * nodes - 6),
        title=f"cart-pole swing-up, {nodes} nodes over {DURATION:g} s, midpoint rule",
        columns=columns,
        draw=lambda figure, result: _draw(figure, columns(result.x)),
    )


def _draw(figure: SubFigure, series: dict[str, Tensor]) -> None:
    """The cart and its pole at equal times above, the series below."""
    above, below = figure.subplots(2, 1, height_ratios=(3, 2))
    _strobe(above, series)
    for name in ("angle", "position", "force"):
        below.plot(series["t"], series[name], label=name, drawstyle="steps-pre" if name == "force" else "default")
    below.axhline(pi, color="grey", linewidth=0.8, linestyle=":")
    below.text(0, pi, "upright", color="grey", fontsize=8, va="bottom")
    below.set(xlabel="time t", ylim=(-2.2, 4))
    below.legend(loc="lower right", fontsize=8, ncols=3)


def _strobe(axes: Axes, series: dict[str, Tensor], frames: int = 25) -> None:
    """θ'' = f cos θ - sin θ is a pole of length 1 whose tip is at x - sin θ, -cos θ."""
    x, angle = series["position"], series["angle"]
    for frame in range(frames):
        i = round(frame * (len(x) - 1) / (frames - 1))
        shade = 0.15 + 0.85 * frame / (frames - 1)
        tip = (float(x[i] - angle[i].sin()), float(-angle[i].cos()))
        axes.plot([float(x[i]), tip[0]], [0, tip[1]], color="C0", alpha=shade, linewidth=1.5)
        axes.plot(*tip, "o", color="C3", alpha=shade, markersize=4)
        axes.plot(float(x[i]), 0, "s", color="black", alpha=shade, markersize=5)
    axes.axhline(0, color="grey", linewidth=0.8, zorder=0)
    axes.set(aspect="equal", ylabel="height", xlabel="position x, later is darker", title="swing-up")
