"""Problems with bounds and constraints in CasADi, solved by Ipopt: what an interior-point method is held against.

    pip install casadi
    OMP_NUM_THREADS=1 python benchmarks/casadi_problems.py [--only cartpole hager1 ...] [--most 10000]
                                                           [--tracks FOLDER] [--repeat 3]

Problems of CUTEst (S2MPJ of Gratton & Toint), of COPS (Dolan, Moré & Munson 2004), of Kelly (2017, SIAM Review 59), and
the racing line of least squared curvature on circuits of the TUMFTM racetrack database. The unknowns are in the
banded order; fixed ones have equal bounds, and the start is projected on them.

Set-up is all from the problem's size to a solver that is ready: expressions, exact derivatives, sparsity. The
fastest of `--repeat` solves counts; there is one where it takes longer than 2 s.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import comb, inf, pi
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ca: Any = importlib.import_module("casadi")  # ships types that say little

PATIENCE = 2.0  # seconds of a solve after which there is no other
CIRCUITS = ("Monza", "Silverstone", "Spa", "Nuerburgring")


@dataclass(frozen=True)
class Nlp:
    """min f(x) with lbx <= x <= ubx and lbg <= g(x) <= ubg.

    Attributes:
        x: SX `(n, 1)`.
        f: SX, a scalar.
        g: SX `(m, 1)`, in the order of the unknowns.
    """

    x: Any
    f: Any
    g: Any
    lbx: np.ndarray
    ubx: np.ndarray
    lbg: np.ndarray
    ubg: np.ndarray
    x0: np.ndarray


class Solution(NamedTuple):
    """Outcome of `solve`; `seconds` leaves out `setup`, the derivatives and their compilation."""

    value: float
    iterations: int
    seconds: float
    setup: float
    status: str
    x: np.ndarray


def solve(nlp: Nlp, tolerance: float = 1e-8, **settings: Any) -> Solution:
    """Ipopt with exact derivatives and, but for `settings`, its own: scaling, barrier, bounds relaxed by 1e-8."""
    start = time.perf_counter()
    quiet = {"print_time": False, "show_eval_warnings": False}
    options = quiet | {"ipopt": {"print_level": 0, "sb": "yes", "tol": tolerance, **settings}}
    solver = ca.nlpsol("solver", "ipopt", {"x": nlp.x, "f": nlp.f, "g": nlp.g}, options)
    ready = time.perf_counter()
    out = solver(x0=nlp.x0, lbx=nlp.lbx, ubx=nlp.ubx, lbg=nlp.lbg, ubg=nlp.ubg)
    seconds = time.perf_counter() - ready
    stats = solver.stats()
    x = np.asarray(out["x"]).reshape(-1)
    return Solution(float(out["f"]), stats["iter_count"], seconds, ready - start, stats["return_status"], x)


def make(
    x: Any,
    f: Any,
    g: Any,
    x0: np.ndarray,
    *,
    fixed: dict[int, float] | None = None,
    bounds: tuple[Any, Any] = (-inf, inf),
    constraints: tuple[Any, Any] = (0.0, 0.0),
) -> Nlp:
    """Bounds are numbers or `(n,)`, those of constraints numbers or `(m,)`; `fixed` has the last word.

    The start is set to the fixed values, no more: Ipopt moves it inside the bounds itself.
    """
    n, m = x.numel(), g.numel()
    lbx, ubx = (np.broadcast_to(bound, n).astype(float) for bound in bounds)
    lbg, ubg = (np.broadcast_to(bound, m).astype(float) for bound in constraints)
    x0 = x0.astype(float)
    for i, value in (fixed or {}).items():
        lbx[i] = ubx[i] = x0[i] = value
    return Nlp(x, f, g, lbx, ubx, lbg, ubg, x0)


def unconstrained() -> Any:
    return ca.SX(0, 1)


# ---- CUTEst, bounds alone


def pentdi(n: int = 1000) -> Nlp:
    """PENTDI, n even: every bound is active at the start. f* = -0.75."""
    m, x = n // 2, ca.SX.sym("x", n)
    f = 6 * ca.sumsqr(x) - 4 * ca.dot(x[:-2], x[1:-1]) + ca.dot(x[:-2], x[2:])
    f += -3 * x[0] + x[1] + x[m - 2] - 3 * x[m - 1] + 4 * x[m] + ca.sum1(x[m + 2 :])
    return make(x, f, unconstrained(), np.zeros(n), bounds=(0, inf))


def nonscomp(n: int = 1000) -> Nlp:
    """NONSCOMP: active bounds whose multipliers are zero. f* = 0."""
    x = ca.SX.sym("x", n)
    f = (x[0] - 1) ** 2 + 4 * ca.sumsqr(x[1:] - x[:-1] ** 2)
    lower = np.where(np.arange(n) % 2 == 0, 1.0, -100.0)
    return make(x, f, unconstrained(), np.full(n, 3.0), bounds=(lower, 100))


def chenhark(n: int = 1000, free: int | None = None, degenerate: int | None = None) -> Nlp:
    """CHENHARK: `free` unknowns off their bounds (n / 2), `degenerate` bounds without multiplier (n / 5). f* = -2."""
    free = n // 2 if free is None else free
    degenerate = n // 5 if degenerate is None else degenerate
    x = ca.SX.sym("x", n)
    s = np.zeros(n + 4)  # s_i of the text is s[i + 1]
    s[2 : free + 2] = 1
    q = -6 * s[2:-2] + 4 * (s[3:-1] + s[1:-3]) - s[4:] - s[:-4]
    q[free + degenerate :] += 1
    padded = ca.vertcat(0, x, 0)
    bends = padded[:-2] - 2 * padded[1:-1] + padded[2:]
    f = (x[0] ** 2 + ca.sumsqr(bends) + x[-1] ** 2) / 2 + ca.dot(ca.DM(q), x)
    return make(x, f, unconstrained(), np.full(n, 0.5), bounds=(0, inf))


# ---- CUTEst, constrained


def hager1(intervals: int = 1000) -> Nlp:
    """HAGER1: (x_0, u_1, x_1, u_2, x_2, ...)."""
    h, z = 1 / intervals, ca.SX.sym("z", 2 * intervals + 1)
    x, u = z[0::2], z[1::2]
    f = x[-1] ** 2 / 2 + h / 2 * ca.sumsqr(u)
    g = (1 / h - 0.5) * x[1:] - (1 / h + 0.5) * x[:-1] - u
    return make(z, f, g, np.zeros(2 * intervals + 1), fixed={0: 1.0})


def hager3(intervals: int = 1000) -> Nlp:
    """HAGER3: unknowns as in HAGER1."""
    h, z = 1 / intervals, ca.SX.sym("z", 2 * intervals + 1)
    x, u = z[0::2], z[1::2]
    before, after = x[:-1], x[1:]
    states = ca.sumsqr(before) + ca.dot(before, after) + ca.sumsqr(after)
    f = h / 8 * (0.625 * states + ca.dot(before + after, u) + 2 * ca.sumsqr(u))
    g = (1 / h - 0.25) * after - (1 / h + 0.25) * before - u
    return make(z, f, g, np.zeros(2 * intervals + 1), fixed={0: 1.0})


def dtoc3(periods: int = 1000) -> Nlp:
    """DTOC3: (y1_t, y2_t, x_t), without the last x."""
    step, z = 1 / periods, ca.SX.sym("z", 3 * periods - 1)
    y1, y2, x = z[0::3], z[1::3], z[2::3]
    f = step * (ca.sumsqr(y1[1:]) + ca.sumsqr(y2[1:]) / 2 + 3 * ca.sumsqr(x))
    first = -y1[1:] + y1[:-1] + step * y2[:-1]
    second = -y2[1:] + y2[:-1] - step * y1[:-1] + step * x
    g = ca.vec(ca.horzcat(first, second).T)
    return make(z, f, g, np.zeros(3 * periods - 1), fixed={0: 15.0, 1: 5.0})


def dtoc1l(periods: int = 1000, controls: int = 2, states: int = 4) -> Nlp:
    """DTOC1L: (y_t, x_t), without the last x."""
    width = controls + states
    n = periods * width - controls
    z = ca.SX.sym("z", n)
    nodes = ca.reshape(ca.vertcat(z, ca.SX.zeros(controls)), width, periods)
    y, x = nodes[:states, :], nodes[states:, :-1]
    A = np.eye(states) / 2 - np.eye(states, k=-1) / 4 + np.eye(states, k=1) / 4
    B = (np.arange(states)[:, None] - np.arange(controls)) / width
    f = ca.sum1(ca.vec((x + 0.5) ** 4)) + ca.sum1(ca.vec((y + 0.25) ** 4))
    g = ca.vec(ca.mtimes(ca.DM(A), y[:, :-1]) - y[:, 1:] + ca.mtimes(ca.DM(B), x))
    return make(z, f, g, np.zeros(n), fixed=dict.fromkeys(range(states), 0.0))


def lukvle8(n: int = 1000) -> Nlp:
    """LUKVLE8, n a multiple of 5; constraints divided by h², such that a tolerance says something."""
    a, b, c, h = -0.002008, -0.0019, -0.000261, 1 / (n + 1)
    x = ca.SX.sym("x", n)
    p, q, r, s, t = (x[i::5] for i in range(5))
    f = ca.sum1(ca.exp(p * q * r * s * t))
    f += 10 * ca.sumsqr(p**2 + q**2 + r**2 + s**2 + t**2 - 10 - a)
    f += 10 * ca.sumsqr(q * r - 5 * s * t - b) + 10 * ca.sumsqr(p**3 + q**3 + 1 - c)
    g = (2 * x[1:-1] - x[:-2] - x[2:]) / h**2 + (x[1:-1] + h * ca.DM(np.arange(2.0, n)) + 1) ** 2 / 2
    return make(x, f, g, np.where(np.arange(n) % 2 == 0, -1.0, 2.0))


def lukvli8(n: int = 100) -> Nlp:
    """LUKVLI8: LUKVLE8 with c <= 0. From n = 1,000 on, solvers end in different local minima."""
    nlp = lukvle8(n)
    return make(nlp.x, nlp.f, nlp.g, nlp.x0, constraints=(-inf, 0))


def liswet1(size: int = 1000, order: int = 3) -> Nlp:
    """LISWET1: least squares under differences of an order >= 0; badly conditioned multipliers."""
    n = size + order
    x, i = ca.SX.sym("x", n), np.arange(n)
    f = ca.sumsqr(x - ca.DM(np.sqrt(i / (n - 1)) + 0.1 * np.sin(i + 1))) / 2
    g = sum((-1) ** i * comb(order, i) * x[order - i : n - i] for i in range(order + 1))
    return make(x, f, g, np.zeros(n), constraints=(0, inf))


def corkscrw(intervals: int = 100) -> Nlp:
    """CORKSCRW: s_0, u_1, s_1, u_2, s_2, ... with s = (x, y, z, x', y', z')."""
    T, length, mass, radius = intervals, 10.0, 0.37, 0.1
    h = length / T
    v = ca.SX.sym("v", 9 * T + 6)
    nodes = ca.reshape(ca.vertcat(ca.SX.zeros(3), v), 9, T + 1)
    u, position, velocity = nodes[:3, 1:], nodes[3:6, :], nodes[6:, :]
    x, y, z = (position[i, 1:] for i in range(3))
    weights = np.arange(1, T + 1) * h / (length * (T + 1) / 2)
    f = ca.dot(ca.DM(weights[None]), (x - length) ** 2)
    forces = mass / h * (velocity[:, 1:] - velocity[:, :-1]) - u
    moves = (position[:, 1:] - position[:, :-1]) / h - velocity[:, 1:]
    tube = (y - ca.sin(x)) ** 2 + (z - ca.cos(x)) ** 2 - radius**2
    g = ca.vec(ca.vertcat(forces, moves, tube))
    shape = (T + 1, 9)  # u, position, velocity of a node
    x0, lower, upper = np.zeros(shape), np.full(shape, -inf), np.full(shape, inf)
    x0[1:, 3], x0[1:, 6] = np.arange(1, T + 1) * h, 1
    lower[:, :3], upper[:, :3] = -h, h
    lower[1:, 3], upper[1:, 3] = 0, length
    fixed = dict(enumerate([0.0, 0, 1, 0, 0, 0])) | dict.fromkeys(range(9 * T + 3, 9 * T + 6), 0.0)
    below = np.tile([-inf if i == 6 else 0.0 for i in range(7)], T)
    bounds = lower.reshape(-1)[3:], upper.reshape(-1)[3:]
    return make(v, f, g, x0.reshape(-1)[3:], fixed=fixed, bounds=bounds, constraints=(below, 0))


def optcntrl() -> Nlp:
    """OPTCNTRL: (x_t, y_t, u_t), t = 0..10, without the last u. f* = 550."""
    z = ca.SX.sym("z", 32)
    x, y, u = z[0::3], z[1::3], z[2::3]
    first = x[1:] - x[:-1] - 0.2 * y[:-1]
    second = y[1:] - y[:-1] + 0.01 * y[:-1] ** 2 + 0.004 * x[:-1] - 0.2 * u
    x0, lower, upper = np.zeros(32), np.full(32, -inf), np.full(32, inf)
    x0[4:29:3] = lower[4:29:3] = -1
    lower[2::3], upper[2::3] = -0.2, 0.2
    lower[30] = 0
    g = ca.vec(ca.horzcat(first, second).T)
    return make(z, ca.sumsqr(x) / 2, g, x0, fixed={0: 10.0, 1: 0.0, 31: 0.0}, bounds=(lower, upper))


# ---- Optimal control by the trapezoidal rule, (x_k, u_k) per node


def defects(rates: Callable[[Any], Any], nodes: Any, states: int, h: Any) -> Any:
    """x_{k+1} - x_k - h/2 (f_k + f_{k+1}) of `nodes` `(states + controls, N + 1)`, interval by interval."""
    x, f = nodes[:states, :], rates(nodes)
    return ca.vec(x[:, 1:] - x[:, :-1] - h / 2 * (f[:, 1:] + f[:, :-1]))


def hanging_chain(intervals: int = 200) -> Nlp:
    """Hanging chain of COPS: (x_1, energy, length, slope)."""
    z = ca.SX.sym("z", 4 * (intervals + 1))
    nodes = ca.reshape(z, 4, intervals + 1)

    def rates(nodes: Any) -> Any:
        length = ca.sqrt(1 + nodes[3, :] ** 2)
        return ca.vertcat(nodes[3, :], nodes[0, :] * length, length)

    s = np.linspace(0, 1, intervals + 1)
    u, x = 8 * (s - 0.25), 8 * s * (s / 2 - 0.25) + 1
    x0 = np.stack([x, u * x, u, u], 1).reshape(-1)
    last = 4 * intervals
    fixed = {0: 1.0, 1: 0.0, 2: 0.0, last: 3.0, last + 2: 4.0}
    return make(z, nodes[1, -1], defects(rates, nodes, 3, 1 / intervals), x0, fixed=fixed)


def cartpole(intervals: int = 100, shortest: float | None = None) -> Nlp:
    """Kelly's swing-up: (position, angle, their rates, force). From the straight line, f* = 58.81 as h falls.

    It takes 2 s; or from `shortest` to 2 s, an unknown more that starts in the middle.
    """
    cart, bob, length, gravity = 1.0, 0.3, 0.5, 9.81
    N, unknowns = intervals, 5 * (intervals + 1)
    z = ca.SX.sym("z", unknowns + (shortest is not None))
    nodes = ca.reshape(z[:unknowns], 5, N + 1)
    h = (2 if shortest is None else z[-1]) / N

    def rates(nodes: Any) -> Any:
        _, angle, speed, rate, force = (nodes[i, :] for i in range(5))
        sin, cos = ca.sin(angle), ca.cos(angle)
        inertia = cart + bob * sin**2
        swing = bob * length * rate**2 * sin
        push = (force + swing + bob * gravity * sin * cos) / inertia
        turn = -(force * cos + swing * cos + (cart + bob) * gravity * sin) / (length * inertia)
        return ca.vertcat(speed, rate, push, turn)

    squares = nodes[4, :] ** 2
    f = h * (ca.sum2(squares) - (squares[0] + squares[-1]) / 2)
    x0 = np.zeros((N + 1, 5))
    x0[:, 0], x0[:, 1] = np.linspace(0, 1, N + 1), np.linspace(0, pi, N + 1)
    limits = np.tile([2, inf, inf, inf, 20], N + 1)
    least, most, start = -limits, limits, x0.reshape(-1)
    if shortest is not None:
        least, most, start = np.append(least, shortest), np.append(most, 2), np.append(start, (shortest + 2) / 2)
    fixed = dict.fromkeys(range(4), 0.0) | dict(enumerate([1.0, pi, 0, 0], start=5 * N))
    return make(z, f, defects(rates, nodes, 4, h), start, fixed=fixed, bounds=(least, most))


# ---- Data of real circuits


def raceline(path: Path) -> Nlp:
    """Least squared curvature of a closed line within the true edges; offsets to the right in metres, f in 1/m."""
    center_x, center_y, right, left = np.loadtxt(path, delimiter=",").T
    along = np.stack([np.roll(c, -1) - np.roll(c, 1) for c in (center_x, center_y)])
    along_x, along_y = along / np.linalg.norm(along, axis=0)
    a = ca.SX.sym("a", len(right))
    line = ca.horzcat(ca.DM(center_x) + a * ca.DM(along_y), ca.DM(center_y) - a * ca.DM(along_x))
    before = line - ca.vertcat(line[-1, :], line[:-1, :])
    after = ca.vertcat(before[1:, :], before[0, :])
    angle = ca.atan2(
        before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0],
        before[:, 0] * after[:, 0] + before[:, 1] * after[:, 1],
    )
    lengths = ca.sqrt(before[:, 0] ** 2 + before[:, 1] ** 2) + ca.sqrt(after[:, 0] ** 2 + after[:, 1] ** 2)
    return make(a, ca.sum1(2 * angle**2 / lengths), unconstrained(), np.zeros(len(right)), bounds=(-left, right))


Size = tuple[int, ...]
PROBLEMS: dict[str, tuple[Callable[..., Nlp], tuple[Size, ...]]] = {
    "pentdi": (pentdi, ((50,), (1000,), (10_000,))),
    "nonscomp": (nonscomp, ((25,), (1000,), (10_000,))),
    "chenhark": (chenhark, ((10, 5, 2), (100, 50, 20), (1000, 500, 200), (10_000, 5000, 2000))),
    "hager1": (hager1, ((10,), (50,), (100,), (500,), (1000,), (5000,))),
    "hager3": (hager3, ((10,), (50,), (100,), (500,), (1000,), (5000,))),
    "dtoc3": (dtoc3, ((10,), (50,), (100,), (500,), (1000,), (5000,))),
    "dtoc1l": (dtoc1l, tuple((N, *w) for w in ((2, 4), (5, 10)) for N in (10, 50, 100, 500, 1000))),
    "lukvle8": (lukvle8, ((50,), (100,), (1000,), (10_000,))),
    "lukvli8": (lukvli8, ((100,), (1000,))),  # 10,000 does not end in a minute
    "liswet1": (liswet1, ((50, 3), (100, 3), (400, 2), (1000, 3), (2000, 2), (10_000, 2))),
    "corkscrw": (corkscrw, ((10,), (50,), (100,), (500,), (1000,))),
    "optcntrl": (optcntrl, ((),)),
    "hanging_chain": (hanging_chain, ((100,), (199,), (200,), (400,), (800,), (1000,), (10_000,))),
    "cartpole": (cartpole, ((20,), (40,), (100,), (200,), (1000,), (10_000,))),
}


def row(name: str, make: Callable[[], Nlp], repeat: int) -> str:
    start = time.perf_counter()
    nlp = make()
    building = time.perf_counter() - start
    best = solve(nlp)
    for _ in range(repeat - 1 if best.seconds < PATIENCE else 0):
        best = min(best, solve(nlp), key=lambda solution: solution.seconds)
    return (
        f"{name:30}{len(nlp.x0):8,}{len(nlp.lbg):8,}{best.iterations:6}  {best.status:26}{best.value:20.12g}"
        f"{best.seconds * 1e3:12.1f}{(best.setup + building) * 1e3:12.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=[*PROBLEMS, "raceline"], default=[*PROBLEMS, "raceline"])
    parser.add_argument("--most", type=int, default=10_000, help="largest size, nodes or intervals")
    parser.add_argument("--tracks", type=Path, help="folder with Monza.csv and others; without it no racing lines")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(f"{'problem':30}{'n':>8}{'m':>8}{'iter':>6}  {'status':26}{'optimum':>20}{'solve ms':>12}{'set-up ms':>12}")
    for name, (problem, sizes) in PROBLEMS.items():
        for size in sizes if name in options.only else ():
            if max(size, default=0) <= options.most:
                title = f"{name} {size[0] if len(size) == 1 else size or ''}"
                print(row(title, partial(problem, *size), options.repeat), flush=True)
    for circuit in CIRCUITS if options.tracks and "raceline" in options.only else ():
        path = options.tracks / f"{circuit}.csv"
        print(row(f"raceline {circuit}", partial(raceline, path), options.repeat), flush=True)


if __name__ == "__main__":
    main()
