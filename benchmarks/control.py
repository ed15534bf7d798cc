"""Optimal control: trajectories against Ipopt and FATROP through CasADi, of the same transcription to the same optimum.

    pip install casadi    # what is missing is left out
    OMP_NUM_THREADS=1 python benchmarks/control.py [--only swingup free first batch masses] [--most 100000]
                                                   [--repeat 5] [--quick]

    swingup   Kelly's cart-pole: by the trapezoidal rule against Ipopt, by Runge-Kutta steps with constant controls
              against Ipopt and FATROP, which takes no other scheme
    free      the same with a free duration from 0.5 to 2 s, and what that takes more than a fixed one, against Ipopt
    first     the first answer in a fresh process, imports included, nothing compiled
    batch     many swing-ups of 50 nodes from random starts at once, against one after the other by FATROP
    masses    a chain of 15 masses, 30 states and 10 controls, on 200 nodes

In float64 on one thread. Set-up is all from the problem to a solver that is ready, of banded the first solve less a
later one; the fastest of `--repeat` solves counts. The tolerance is 1e-8, scaled as each does it.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import inf, pi
from typing import Any, NamedTuple

import numpy as np
import torch
from extraction import machine
from peers import Skipped, optional
from rich.console import Console
from rich.table import Table
from torch import Tensor

from banded import ControlProblem, RungeKutta, Scheme
from banded.problems import swingup

HELD = RungeKutta(controls="constant")
SECTIONS = ("swingup", "free", "first", "batch", "masses")
FIRST = """
import time; begun = time.perf_counter()
from banded.problems import swingup
solution = swingup().solve(100, progress=False)
print(time.perf_counter() - begun, solution.status.name)
"""
MASSES, PULLED = 15, 10
console = Console(width=140, highlight=False)


class Row(NamedTuple):
    """What a solver took, in seconds."""

    cost: float
    iterations: int
    setup: float
    seconds: float
    status: str


def best(solve: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    """What it returns, and the least time of some calls."""
    found, least = None, inf
    for _ in range(repeat):
        begun = time.perf_counter()
        found = solve()
        least = min(least, time.perf_counter() - begun)
    return found, least


def ours(problem: ControlProblem, nodes: int, scheme: str | Scheme, repeat: int, *, compile: bool) -> Row:
    begun = time.perf_counter()
    found = problem.solve(nodes, scheme, compile=compile, progress=False)
    setup = time.perf_counter() - begun
    found, seconds = best(lambda: problem.solve(nodes, scheme, compile=compile, progress=False), repeat)
    return Row(found.cost, found.iterations, setup - seconds, seconds, found.status.name.lower())


class Discrete(NamedTuple):
    """A problem in CasADi: unknowns and equations stage after stage, as FATROP wants them.

    Attributes:
        nlp: x, f, g, and p, the first state.
        arguments: start and bounds.
        equality: which rows of g are equations: all.
    """

    nlp: dict[str, Any]
    arguments: dict[str, Any]
    equality: list[bool]


def shooting(ca: Any, rates: Any, intervals: int, ends: tuple[Any, Any], limits: Any, duration: float) -> Discrete:
    """By Runge-Kutta steps with constant controls; the integral of |u|² is least."""
    x, u = ca.SX.sym("x", rates.size1_in(0)), ca.SX.sym("u", rates.size1_in(1))
    h = duration / intervals
    k1 = rates(x, u)
    k2 = rates(x + h / 2 * k1, u)
    k3 = rates(x + h / 2 * k2, u)
    k4 = rates(x + h * k3, u)
    step = ca.Function("step", [x, u], [x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)])
    first, last = (np.asarray(end, dtype=float) for end in ends)
    start = ca.SX.sym("p", len(first))
    states = [ca.SX.sym(f"x{k}", len(first)) for k in range(intervals + 1)]
    controls = [ca.SX.sym(f"u{k}", u.numel()) for k in range(intervals)]
    unknowns, guess, rows = [], [], []
    for k, state in enumerate(states):
        unknowns.append(state)
        guess.append(first + k / intervals * (last - first))
        if k < intervals:
            unknowns.append(controls[k])
            guess.append(np.zeros(u.numel()))
            rows.append(states[k + 1] - step(state, controls[k]))
        if k == 0:
            rows.append(state - start)
        if k == intervals:
            rows.append(state - last)
    bound = np.concatenate([np.tile(np.concatenate(limits), intervals), limits[0]])
    g = ca.vertcat(*rows)
    nlp = {"x": ca.vertcat(*unknowns), "f": h * sum(ca.sumsqr(one) for one in controls), "g": g, "p": start}
    arguments = {"x0": np.concatenate(guess), "lbx": -bound, "ubx": bound, "lbg": 0, "ubg": 0, "p": first}
    return Discrete(nlp, arguments, [True] * g.numel())


def peer(solver: str, discrete: Discrete, repeat: int) -> tuple[Row, Any]:
    ca = optional("casadi")
    begun = time.perf_counter()
    if solver == "fatrop":
        own: dict[str, Any] = {"fatrop": {"tol": 1e-8, "print_level": 0}}
        own |= {"structure_detection": "auto", "equality": discrete.equality}
    else:
        own = {"ipopt": {"tol": 1e-8, "print_level": 0, "sb": "yes"}}
    run = ca.nlpsol("solver", solver, discrete.nlp, {"expand": True, "print_time": False, **own})
    setup = time.perf_counter() - begun
    found, seconds = best(lambda: run(**discrete.arguments), repeat)
    stats = run.stats()
    status = "solved" if stats["success"] else "failed"
    return Row(float(found["f"]), stats["iter_count"], setup, seconds, status), run


def cartpole(ca: Any) -> Any:
    """Its rates in CasADi."""
    x, u = ca.SX.sym("x", 4), ca.SX.sym("u")
    sin, cos = ca.sin(x[1]), ca.cos(x[1])
    inertia, swing = 1 + 0.3 * sin**2, 0.3 * 0.5 * x[3] ** 2 * sin
    push = (u + swing + 0.3 * 9.81 * sin * cos) / inertia
    turn = -(u * cos + swing * cos + 1.3 * 9.81 * sin) / (0.5 * inertia)
    return ca.Function("rates", [x, u], [ca.vertcat(x[2], x[3], push, turn)])


def shot(intervals: int) -> Discrete:
    """The swing-up in CasADi."""
    limits = np.array([2, inf, inf, inf]), np.array([20.0])
    ca = optional("casadi")
    return shooting(ca, cartpole(ca), intervals, ([0.0] * 4, [1, pi, 0, 0]), limits, 2.0)


def trapezoidal(intervals: int, repeat: int, shortest: float | None = None) -> Row:
    optional("casadi")
    module = importlib.import_module("casadi_problems")
    begun = time.perf_counter()
    nlp = module.cartpole(intervals, shortest)
    described = time.perf_counter() - begun
    runs = [module.solve(nlp) for _ in range(repeat)]
    one = min(runs, key=lambda run: run.seconds)
    status = "solved" if one.status == "Solve_Succeeded" else one.status
    return Row(one.value, one.iterations, described + one.setup, one.seconds, status)


def show(title: str, rows: dict[str, Callable[[], Row]]) -> dict[str, Row]:
    table = Table("", "cost", "iterations", "set-up s", "solve ms", "ms an iteration", "", title=title, box=None)
    found = {}
    for name, run in rows.items():
        try:
            row = found[name] = run()
        except Skipped as reason:
            table.add_row(name, "", "", "", "", "", f"left out: {reason}")
            continue
        each = 1e3 * row.seconds / max(row.iterations, 1)
        numbers = f"{row.cost:.8g}", str(row.iterations), f"{row.setup:.2f}", f"{1e3 * row.seconds:.1f}", f"{each:.2f}"
        table.add_row(name, *numbers, row.status)
    console.print(table, "")
    return found


def swing(options: Namespace) -> None:
    problem = swingup()
    for intervals in (100, 1_000, 10_000, 100_000):
        if intervals > options.most:
            break
        repeat = options.repeat if intervals <= 1000 else 1
        rows: dict[str, Callable[[], Row]] = {}
        for name, scheme in (("trapezoidal", "trapezoidal"), ("rk4", HELD)):
            for how in ("eager", "compiled"):
                one = partial(ours, problem, intervals + 1, scheme, repeat, compile=how == "compiled")
                rows[f"banded {name}, {how}"] = one
        if intervals <= 10_000:
            rows["Ipopt trapezoidal"] = partial(trapezoidal, intervals, repeat)
            rows["Ipopt rk4"] = partial(shot_by, "ipopt", intervals, repeat)
            rows["FATROP rk4"] = partial(shot_by, "fatrop", intervals, repeat)
        show(f"swing-up, {intervals:,} intervals", rows)


def shot_by(solver: str, intervals: int, repeat: int) -> Row:
    return peer(solver, shot(intervals), repeat)[0]


def free(options: Namespace) -> None:
    intervals = min(1000, options.most)
    problems = {"fixed": swingup(), "free": replace(swingup(), duration=(0.5, 2.0))}
    solve = partial(ours, nodes=intervals + 1, scheme="trapezoidal", repeat=options.repeat, compile=True)
    rows: dict[str, Callable[[], Row]] = {name: partial(solve, problem) for name, problem in problems.items()}
    rows |= {
        f"Ipopt {name}": partial(trapezoidal, intervals, 1, least) for name, least in (("fixed", None), ("free", 0.5))
    }
    found = show(f"swing-up, {intervals:,} intervals, trapezoidal, compiled", rows)
    for name in ("", "Ipopt "):
        both = [found.get(f"{name}{one}") for one in ("free", "fixed")]
        if both[0] is not None and both[1] is not None:
            console.print(f"{name}free over fixed: {both[0].seconds / both[1].seconds:.2f}\n")


def first(options: Namespace) -> None:
    out = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True).stdout.split()
    console.print(f"first answer in a fresh process, 100 nodes, imports included: {float(out[0]):.2f} s, {out[1]}\n")


def batch(options: Namespace) -> None:
    count = 10 if options.quick else 1000
    generator = torch.Generator().manual_seed(0)
    starts = 0.1 * torch.randn(count, 4, generator=generator, dtype=torch.float64)
    problem = swingup()

    def solve() -> Any:
        return problem.solve(51, HELD, initial_state=starts, compile=True, progress=False)

    solve()
    found, seconds = best(solve, 1 if options.quick else 2)
    console.print(f"{count} swing-ups at once: {1e3 * seconds / count:.2f} ms each, {int(found.success.sum())} solved")
    try:
        discrete = shot(50)
        _, run = peer("fatrop", discrete, 1)
    except Skipped as reason:
        console.print(f"FATROP left out: {reason}\n")
        return
    begun, solved = time.perf_counter(), 0
    for start in starts.numpy():
        run(**{**discrete.arguments, "p": start})
        solved += run.stats()["success"]
    other = time.perf_counter() - begun
    console.print(
        f"one by one by FATROP: {1e3 * other / count:.2f} ms each, {solved} solved; {other / seconds:.2f} x\n"
    )


def springs(x: Any, u: Any, join: Callable[[list[Any]], Any]) -> Any:
    """Masses of 1 kg on a line with springs of 1 N/m that stiffen, 1 N/m³, between walls; forces on the first ten."""
    places = [0.0, *(x[i] for i in range(MASSES)), 0.0]
    pulls = [places[i + 1] - places[i] for i in range(MASSES + 1)]
    forces = [pull + pull**3 for pull in pulls]
    pushed = [u[i] if i < PULLED else 0.0 for i in range(MASSES)]
    rates = [forces[i + 1] - forces[i] + pushed[i] for i in range(MASSES)]
    return join([*(x[MASSES + i] for i in range(MASSES)), *rates])


def masses(options: Namespace) -> None:
    intervals = 20 if options.quick else 199
    start = [1.0 if i % 3 == 0 else -0.5 for i in range(MASSES)] + [0.0] * MASSES
    limit = 1.0

    def effort(x: Tensor, u: Tensor) -> Tensor:
        return u.square().sum()

    problem = ControlProblem(
        lambda x, u: springs(x, u, torch.stack),
        2 * MASSES,
        PULLED,
        running_cost=effort,
        initial_state=start,
        final_state=[0.0] * 2 * MASSES,
        control_bounds=(-limit, limit),
        duration=20.0,
    )

    def discrete() -> Discrete:
        ca = optional("casadi")
        x, u = ca.SX.sym("x", 2 * MASSES), ca.SX.sym("u", PULLED)
        rates = ca.Function("rates", [x, u], [springs(x, u, lambda parts: ca.vertcat(*parts))])
        limits = np.full(2 * MASSES, inf), np.full(PULLED, limit)
        return shooting(ca, rates, intervals, (start, [0.0] * 2 * MASSES), limits, 20.0)

    show(
        f"{MASSES} masses, {2 * MASSES} states, {PULLED} controls, {intervals + 1} nodes, rk4",
        {
            "banded, eager": lambda: ours(problem, intervals + 1, HELD, options.repeat, compile=False),
            "banded, compiled": lambda: ours(problem, intervals + 1, HELD, options.repeat, compile=True),
            "Ipopt": lambda: peer("ipopt", discrete(), options.repeat)[0],
            "FATROP": lambda: peer("fatrop", discrete(), options.repeat)[0],
        },
    )


def main() -> None:
    parser = ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--most", type=int, default=100_000, help="intervals")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="only see whether it runs")
    options = parser.parse_args()
    if options.quick:
        options.most, options.repeat = 100, 1
        options.only = [one for one in options.only if one != "masses"]
    torch.set_num_threads(1)
    console.print(machine(), "")
    for name, run in zip(SECTIONS, (swing, free, first, batch, masses), strict=True):
        if name in options.only:
            run(options)


if __name__ == "__main__":
    main()
