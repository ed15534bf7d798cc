"""What a swinging pendulum is like, learnt from noisy pictures of its motion, through the minimum of a chain.

    python examples/pendulum.py [--plot PENDULUM.png]

A pendulum θ'' = -(g/l) sin θ - d θ' is seen 25 times a second, with an error of 0.1 rad. Given g/l and d, the most
likely motion minimises what the observations and the equation of motion leave over, a chain of 300 angles, solved by
Newton's method on its band. How well it foretells observations that it was not shown depends on g/l and d: `result.x`
carries the derivative, by one more solve with the band (implicit function theorem), and L-BFGS goes down that slope.
"""

import argparse
import math
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

import banded

STEP, NODES = 0.04, 300  # seconds; 12 of them
NOISE = 0.1  # of an observation, rad
FORCE = 0.3  # of what the equation leaves out, rad / s²
TRUTH = (9.81 / 0.7, 0.25)  # g/l in 1/s², d in 1/s
AGREEMENT = 0.03  # relative, of what is learnt with the truth


@dataclass(frozen=True, eq=False)
class Data:
    """Angles `(nodes,)` in rad: the true ones, and those seen; every third is kept back."""

    truth: Tensor
    seen: Tensor

    @property
    def held(self) -> Tensor:
        """`(nodes,)`: which are kept back."""
        return torch.arange(len(self.seen)) % 3 == 1


def simulate(seed: int = 0) -> Data:
    """A pendulum let go at 2 rad."""
    ratio, damping = TRUTH
    time = STEP * np.arange(NODES)
    solution = solve_ivp(
        lambda _, y: [y[1], -ratio * math.sin(y[0]) - damping * y[1]], (0, time[-1]), [2, 0], t_eval=time, rtol=1e-9
    )
    truth = torch.from_numpy(solution.y[0].copy())
    noise = torch.randn(NODES, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return Data(truth, truth + NOISE * noise)


def motion(data: Data, parameters: Tensor, start: Tensor) -> Tensor:
    """The most likely angles `(nodes,)` by the observations that are not kept back, given log (g/l, d).

    Differentiable with respect to `parameters` `(2,)`.
    """
    ratio, damping = parameters.exp()

    def misfit(angle: Tensor) -> Tensor:
        """Minus the logarithm of the posterior, `()`: white errors, white forces."""
        middle = angle[1:-1]
        acceleration = (angle[2:] - 2 * middle + angle[:-2]) / STEP**2
        speed = (angle[2:] - angle[:-2]) / (2 * STEP)
        force = acceleration + ratio * middle.sin() + damping * speed
        error = (angle - data.seen)[~data.held]
        total: Tensor = (error / NOISE).square().sum() / 2 + (force / FORCE).square().sum() / 2
        return total

    result = banded.minimize(misfit, start, bandwidth=2, tolerance=1e-6)
    if not result.success:
        raise SystemExit(str(result))
    angle: Tensor = result.x
    return angle


def learn(data: Data, guess: tuple[float, float] = (9.0, 0.6)) -> tuple[Tensor, Tensor, list[float]]:
    """G/l and d `(2,)`, the motion `(nodes,)`, and the error of what was kept back after each evaluation, in rad."""
    parameters = torch.tensor(guess, dtype=torch.float64).log().requires_grad_()
    optimizer: torch.optim.Optimizer = torch.optim.LBFGS(
        [parameters], max_iter=40, tolerance_grad=1e-8, line_search_fn="strong_wolfe"
    )
    angle, errors = data.seen, list[float]()

    def loss() -> float:
        nonlocal angle
        found = motion(data, parameters, angle.detach())
        error = (found - data.seen)[data.held].square().mean()
        (parameters.grad,) = torch.autograd.grad(error, parameters)
        angle = found
        errors.append(float(error.detach().sqrt()))
        return float(error.detach())

    optimizer.step(loss)
    return parameters.detach().exp(), motion(data, parameters.detach(), angle.detach()), errors


def plot(path: Path, data: Data, first: Tensor, last: Tensor, errors: list[float]) -> None:
    """The motion with the guess and with what was learnt, and the way there."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 1.3))
    time = STEP * torch.arange(NODES)
    left.plot(time[~data.held], data.seen[~data.held], ".", color="0.6", ms=4, label="observations shown")
    left.plot(time[data.held], data.seen[data.held], "x", color="tab:red", ms=4, label="kept back")
    left.plot(time, data.truth, color="k", lw=1, label="truth")
    left.plot(time, first, "--", color="tab:orange", lw=1.2, label="most likely, with the guess")
    left.plot(time, last, color="tab:blue", lw=1.5, label="with what was learnt")
    left.set(xlabel="time, s", ylabel="angle, rad")
    left.legend(fontsize=8, ncols=2)
    right.plot(errors, ".-")
    right.axhline(NOISE, color="0.6", lw=1)
    right.annotate("their noise", (0, NOISE), color="0.4", va="bottom", fontsize=8)
    right.set(xlabel="evaluation", title="error of those kept back, rad")
    figure.savefig(path, dpi=120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the motion into this file")
    path = parser.parse_args().plot
    data = simulate()
    guess = (9.0, 0.6)
    found, last, errors = learn(data, guess)
    for name, true, value in zip(("g/l", "d"), TRUTH, found.tolist(), strict=True):
        print(f"{name:4s} true {true:7.4f}   guess {guess[name == 'd']:7.4f}   learnt {value:7.4f}")
    print(f"error of the observations kept back: {errors[0]:.4f} rad, then {errors[-1]:.4f}; {len(errors)} evaluations")
    if path:
        plot(path, data, motion(data, torch.tensor(guess).double().log(), data.seen), last, errors)
    wrong = [abs(value / true - 1) for true, value in zip(TRUTH, found.tolist(), strict=True)]
    if max(wrong) > AGREEMENT:
        print(f"expected the truth to {AGREEMENT:.0%}, got it to {max(wrong):.1%}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
