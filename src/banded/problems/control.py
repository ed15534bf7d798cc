"""Discrete optimal control problems of CUTEst: linear or convex ones, a corkscrew, and a controlled spring.

As in `cutest`: each was checked against S2MPJ (Gratton & Toint), and classifications such as SLR2 are CUTEst's. The
size is a number of periods. Unknowns and equations go period by period, so what is close in time is close in the
vectors; what CUTEst fixes is fixed by equal bounds.
"""

import torch
from torch import Tensor

from banded.problems.problem import Problem
from banded.problems.sizes import check_size, unbounded


def hager1(nodes: int = 100) -> Problem:
    """Hager's HAGER1, x_N² / 2 + (h/2) Σ u_i² with (1/h - ½) x_i - (1/h + ½) x_{i-1} = u_i for i = 1..N, h = 1/N.

    The control of x' = x + u by the midpoint rule; unknowns x_0, u_1, x_1, u_2, ..., x_N, of which x_0 = 1 is fixed.
    SLR2-AN-V-V; Hager (1990, SIAM J. Numer. Anal. 27:1061-1080), problem P1. `nodes` is N, at least 1.
    """
    check_size(nodes, 1)
    h = 1 / nodes

    def f(z: Tensor) -> Tensor:
        return 0.5 * (z[-1] ** 2 + h * z[1::2].square().sum())

    def c(z: Tensor) -> Tensor:
        x, u = z[::2], z[1::2]
        return (1 / h - 0.5) * x[1:] - (1 / h + 0.5) * x[:-1] - u

    start, bounds = _from_one(nodes)
    known = {10: 0.880972218878, 50: 0.880804077793, 100: 0.880798827886}
    known |= {500: 0.880797147974, 1000: 0.880797095477, 5000: 0.880797078678}
    title = f"HAGER1, linear control over {nodes} periods"
    return Problem(f, start, equality=c, bounds=bounds, title=title, optimum=known.get(nodes))


def hager3(nodes: int = 100) -> Problem:
    """Hager's HAGER3, (h/8) Σ 0.625 (x_{i-1}² + x_{i-1} x_i + x_i²) + (x_{i-1} + x_i) u_i + 2 u_i².

    The control of x' = x/2 + u: (1/h - ¼) x_i - (1/h + ¼) x_{i-1} = u_i for i = 1..N, h = 1/N.
    Unknowns and start are those of HAGER1; half-bandwidth 2.
    SLR2-AY-V-V; Hager (1990, SIAM J. Numer. Anal. 27:1061-1080), problem P3. `nodes` is N, at least 1.
    """
    check_size(nodes, 1)
    h = 1 / nodes

    def f(z: Tensor) -> Tensor:
        before, u, after = z[:-2:2], z[1::2], z[2::2]
        states = 0.625 * (before**2 + before * after + after**2)
        return h / 8 * (states + (before + after) * u + 2 * u**2).sum()

    def c(z: Tensor) -> Tensor:
        x, u = z[::2], z[1::2]
        return (1 / h - 0.25) * x[1:] - (1 / h + 0.25) * x[:-1] - u

    start, bounds = _from_one(nodes)
    known = {10: 0.141033165209, 100: 0.140961970686, 1000: 0.140961258818}
    title = f"HAGER3, linear control over {nodes} periods, costs that couple state and control"
    return Problem(f, start, equality=c, bounds=bounds, title=title, optimum=known.get(nodes))


def dtoc3(nodes: int = 100) -> Problem:
    """Bertsekas's DTOC3, S Σ_{t=1..N-1} y_{t+1}² + z_{t+1}² / 2 + 3 x_t² with S = 1/N.

    The control of a spring, y_{t+1} = y_t + S z_t and z_{t+1} = z_t - S y_t + S x_t, where y_1 = 15 and z_1 = 5 are
    fixed; unknowns y_1, z_1, x_1, y_2, ..., y_N, z_N. The minima that CUTEst's files list lie below those here, which
    solve the linear equations for a minimum: their constraints were met loosely.
    QLR2-AN-V-V; Bertsekas (1982, SIAM J. Control Optim. 20:221-246); Coleman & Liao (1992, Cornell, ctc93tr144),
    problem 3. `nodes` is N, at least 2.
    """
    check_size(nodes, 2)
    s = 1 / nodes

    def f(v: Tensor) -> Tensor:
        y, z, x = v[::3], v[1::3], v[2::3]
        return s * (y[1:] ** 2 + z[1:] ** 2 / 2 + 3 * x**2).sum()

    def c(v: Tensor) -> Tensor:
        y, z, x = v[::3], v[1::3], v[2::3]
        first = y[:-1] - y[1:] + s * z[:-1]
        second = z[:-1] - z[1:] + s * (x - y[:-1])
        return torch.stack([first, second], 1).flatten()

    start = torch.zeros(3 * nodes - 1, dtype=torch.float64)
    start[:2] = torch.tensor([15.0, 5.0])
    known = {10: 224.590381885, 50: 233.278713071, 100: 234.287716503}
    known |= {500: 235.084451873, 1000: 235.183412085, 5000: 235.262481035}
    title = f"DTOC3, linear control over {nodes} periods"
    return Problem(f, start, equality=c, bounds=_fixed(start, 2), title=title, optimum=known.get(nodes))


def dtoc1l(nodes: int = 100, nx: int = 2, ny: int = 4) -> Problem:
    """Coleman and Liao's DTOC1L, quartic costs of ny states y and nx controls x that obey a linear rule.

        Σ_{t<N} Σ_i (x_t[i] + ½)⁴ + Σ_{t<=N} Σ_j (y_t[j] + ¼)⁴
        y_{t+1}[j] = y_t[j] / 2 - y_t[j-1] / 4 + y_t[j+1] / 4 + Σ_i (j - i) / (nx + ny) x_t[i],  t < N,

    where y_t[0] = y_t[ny+1] = 0, and y_1 = 0 is fixed. Unknowns y_1, x_1, y_2, ..., y_N.
    OLR2-AN-V-V; Coleman & Liao (1992, Cornell, ctc93tr144), problem 1 with μ = 0.

    Args:
        nodes: N, at least 2.
        nx: controls in a period, at least 1.
        ny: states in a period, at least 1; the rows of the constraints' Jacobian span nx + ny + 2 unknowns.
    """
    check_size(nodes, 2)
    check_size(nx, 1, name="nx")
    check_size(ny, 1, name="ny")
    i, j = (torch.arange(1, size + 1, dtype=torch.float64) for size in (nx, ny))
    control = (j - i[:, None]) / (nx + ny)  # (nx, ny)

    def split(z: Tensor) -> tuple[Tensor, Tensor]:
        periods = torch.nn.functional.pad(z, (0, nx)).reshape(nodes, nx + ny)
        return periods[:, :ny], periods[:-1, ny:]

    def f(z: Tensor) -> Tensor:
        y, x = split(z)
        return ((x + 0.5) ** 4).sum() + ((y + 0.25) ** 4).sum()

    def c(z: Tensor) -> Tensor:
        y, x = split(z)
        padded = torch.nn.functional.pad(y[:-1], (1, 1))
        drift = y[:-1] / 2 - padded[:, :-2] / 4 + padded[:, 2:] / 4
        return (drift - y[1:] + x @ control).flatten()

    start = torch.zeros(nodes * (nx + ny) - nx, dtype=torch.float64)
    title = f"DTOC1L, linear control of {ny} states over {nodes} periods, quartic costs"
    optimum = MINIMA_OF_DTOC1L.get((nodes, nx, ny))
    return Problem(f, start, equality=c, bounds=_fixed(start, ny), title=title, optimum=optimum)


MINIMA_OF_DTOC1L = {
    (10, 2, 4): 0.0735945389381,
    (50, 2, 4): 0.229941875944,
    (100, 2, 4): 0.425368279598,
    (500, 2, 4): 1.98877950883,
    (1000, 2, 4): 3.94304354537,
    (10, 5, 10): 1.14985541430,
    (50, 5, 10): 6.16784672709,
    (100, 5, 10): 12.4399668854,
    (500, 5, 10): 62.6169281523,
    (1000, 5, 10): 125.338129736,
}


def corkscrw(nodes: int = 100) -> Problem:
    """Toint's CORKSCRW: a mass of 0.37 on a way of length X = 10, kept within 0.1 of y = sin x, z = cos x.

    A force |u| <= X/T in each direction brings it from (0, 0, 1) to rest. With h = X/T, in each direction a,

        (0.37/h) (v_i - v_{i-1}) = u_i,   (a_i - a_{i-1})/h = v_i,   i = 1..T,

    0 <= x_i <= X, and the cost is Σ i (x_i - X)², times 2 h / (X (T + 1)). Unknowns (x, y, z, vx, vy, vz)_0,
    u_1, (x, ..., vz)_1, u_2, ...; the first six and the last three are fixed. Half-bandwidth 2.
    There are several minima: 1.1601036, the least that is known, and 2.4517501 for T = 10.
    SOR2-AN-V-V. `nodes` is T, at least 2.
    """
    check_size(nodes, 2)
    length, mass, radius = 10.0, 0.37, 0.1
    h = length / nodes
    weight = 2 * h / (length * (nodes + 1)) * torch.arange(1, nodes + 1, dtype=torch.float64)

    def f(z: Tensor) -> Tensor:
        return (weight * (z[9::9] - length) ** 2).sum()

    def c(z: Tensor) -> Tensor:
        periods = z[6:].reshape(nodes, 9)
        force, states = periods[:, :3], periods[:, 3:]
        before = torch.cat([z[None, :6], states[:-1]])
        change = (states - before) / h
        return torch.cat([mass * change[:, 3:] - force, change[:, :3] - states[:, 3:]], 1).flatten()

    def g(z: Tensor) -> Tensor:
        x, y, height = z[9::9], z[10::9], z[11::9]
        return radius**2 - (y - x.sin()) ** 2 - (height - x.cos()) ** 2

    start, bounds = _corkscrew_limits(nodes, length)
    known = {10: 1.1601036, 50: 26.4844789, 100: 44.3687607, 500: 81.8973426, 1000: 90.6878240}
    title = f"CORKSCRW, a mass kept near a corkscrew for {nodes} periods"
    return Problem(f, start, equality=c, inequality=g, bounds=bounds, title=title, optimum=known.get(nodes))


def _corkscrew_limits(nodes: int, length: float) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Start, lower and upper bounds of CORKSCRW, `(9 nodes + 6,)` each."""
    lower, upper = unbounded(9 * nodes + 6)
    h = length / nodes
    for bound, force, way in ((lower, -h, 0.0), (upper, h, length)):
        bound[:6] = torch.tensor([0.0, 0, 1, 0, 0, 0])
        bound[6:].view(nodes, 9)[:, :3] = force
        bound[9::9] = way
        bound[-3:] = 0
    start = torch.zeros_like(lower)
    start[9::9] = h * torch.arange(1, nodes + 1, dtype=torch.float64)
    start[12::9] = 1
    return start.clamp(lower, upper), (lower, upper)


def optcntrl(nodes: int = 10) -> Problem:
    """Murtagh and Saunders's OPTCNTRL, a damped spring with a limited force over T periods.

        x_{t+1} = x_t + 0.2 y_t,   y_{t+1} = y_t - 0.01 y_t² - 0.004 x_t + 0.2 u_t,   ½ Σ_{t=0..T} x_t².

    x_0 = 10 and y_0 = y_T = 0 are fixed, y_t >= -1, |u_t| <= 0.2 and x_T >= 0. Unknowns x_0, y_0, u_0, x_1, ..., x_T,
    y_T.
    QQR2-AN-32-20; Murtagh & Saunders (1982, Math. Program. Stud. 16:84-117), example 5.11.
    `nodes` is T, at least 2; CUTEst has 10 only, with minimum 550.
    """
    check_size(nodes, 2)

    def f(z: Tensor) -> Tensor:
        return 0.5 * z[::3].square().sum()

    def c(z: Tensor) -> Tensor:
        x, y, u = z[::3], z[1::3], z[2::3]
        before = y[:-1]
        first = x[1:] - x[:-1] - 0.2 * before
        second = y[1:] - before + 0.01 * before**2 + 0.004 * x[:-1] - 0.2 * u
        return torch.stack([first, second], 1).flatten()

    lower, upper = unbounded(3 * nodes + 2)
    lower[1::3], lower[2::3], upper[2::3], lower[-2] = -1, -0.2, 0.2, 0
    for bound in (lower, upper):
        bound[:2], bound[-1] = torch.tensor([10.0, 0]), 0
    start = torch.zeros_like(lower)
    start[1::3] = -1
    start = start.clamp(lower, upper)
    title = f"OPTCNTRL, control of a spring over {nodes} periods"
    optimum = 550.0 if nodes == 10 else None
    return Problem(f, start, equality=c, bounds=(lower, upper), title=title, optimum=optimum)


def _from_one(nodes: int) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Start and bounds of Hager's problems."""
    start = torch.zeros(2 * nodes + 1, dtype=torch.float64)
    start[0] = 1
    return start, _fixed(start, 1)


def _fixed(start: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Bounds that hold the first `count` unknowns at the start, and leave the others free."""
    lower, upper = unbounded(len(start))
    lower[:count] = upper[:count] = start[:count]
    return lower, upper
