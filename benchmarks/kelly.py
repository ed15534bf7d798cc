"""Kelly's (2017, SIAM Review 59:849-904) swing-up of a cart-pole by the trapezoidal rule."""

from math import inf, pi

import torch
from torch import Tensor

from banded import Problem

CART, BOB, LENGTH, GRAVITY, DURATION = 1.0, 0.3, 0.5, 9.81, 2.0  # kg, kg, m, m/s², s


def rates(nodes: Tensor) -> Tensor:
    """Of position, angle, speed and angular rate, `(T + 1, 4)`; nodes are these and the force, `(T + 1, 5)`."""
    _, angle, speed, rate, force = nodes.unbind(1)
    sin, cos = angle.sin(), angle.cos()
    inertia = CART + BOB * sin**2
    swing = BOB * LENGTH * rate**2 * sin
    push = (force + swing + BOB * GRAVITY * sin * cos) / inertia
    turn = -(force * cos + swing * cos + (CART + BOB) * GRAVITY * sin) / (LENGTH * inertia)
    return torch.stack([speed, rate, push, turn], 1)


def cartpole(intervals: int = 100) -> Problem:
    """The force's square is least; the bob ends above, a metre to the right, both at rest."""
    h = DURATION / intervals

    def effort(z: Tensor) -> Tensor:
        squares = z[4::5].square()
        return h * (squares.sum() - (squares[0] + squares[-1]) / 2)

    def defects(z: Tensor) -> Tensor:
        nodes = z.reshape(-1, 5)
        slopes = rates(nodes)
        return (nodes[1:, :4] - nodes[:-1, :4] - h / 2 * (slopes[1:] + slopes[:-1])).reshape(-1)

    start = torch.zeros(intervals + 1, 5, dtype=torch.float64)
    start[:, 0], start[:, 1] = torch.linspace(0, 1, intervals + 1), torch.linspace(0, pi, intervals + 1)
    start[-1, :2] = torch.tensor([1.0, pi], dtype=torch.float64)
    upper = torch.tensor([2, inf, inf, inf, 20], dtype=torch.float64).repeat(intervals + 1, 1)
    lower = -upper
    for bound in (lower, upper):
        bound[[0, -1], :4] = start[[0, -1], :4]
    bounds = lower.reshape(-1), upper.reshape(-1)
    return Problem(effort, start.reshape(-1), equality=defects, bounds=bounds, title="cart-pole")
