"""Constrained problems as in their definitions, as loops over numbers with indices from 1."""

from collections.abc import Mapping
from math import comb, cos, exp, sin, sqrt

Point = Mapping[int, float]  # x[1] to x[n]: other indices raise
Twin = tuple[float, list[float], list[float]]  # f, c with c = 0, g with g >= 0


def pentdi(x: Point, n: int) -> Twin:
    m, f = n // 2, 0.0
    for i in range(1, n + 1):
        f += 6 * x[i] ** 2
    for i in range(1, n - 1):
        f += -4 * x[i] * x[i + 1] + x[i] * x[i + 2]
    f += -3 * x[1] + x[2] + x[m - 1] - 3 * x[m] + 4 * x[m + 1]
    return f + sum(x[i] for i in range(m + 3, n + 1)), [], []


def nonscomp(x: Point, n: int) -> Twin:
    return (x[1] - 1) ** 2 + 4 * sum((x[i] - x[i - 1] ** 2) ** 2 for i in range(2, n + 1)), [], []


def chenhark(x: Point, n: int, free: int, degenerate: int) -> Twin:
    def s(i: int) -> int:
        return 1 <= i <= free

    f = x[1] ** 2 + (2 * x[1] - x[2]) ** 2 + (2 * x[n] - x[n - 1]) ** 2 + x[n] ** 2
    f = (f + sum((x[i - 1] - 2 * x[i] + x[i + 1]) ** 2 for i in range(2, n))) / 2
    for i in range(1, n + 1):
        q = -6 * s(i) + 4 * (s(i + 1) + s(i - 1)) - s(i + 2) - s(i - 2) + (i > free + degenerate)
        f += q * x[i]
    return f, [], []


def hager1(v: Point, periods: int) -> Twin:
    h = 1 / periods
    x = {i: v[2 * i + 1] for i in range(periods + 1)}
    u = {i: v[2 * i] for i in range(1, periods + 1)}
    f = x[periods] ** 2 / 2 + h / 2 * sum(u[i] ** 2 for i in u)
    return f, [(1 / h - 1 / 2) * x[i] - (1 / h + 1 / 2) * x[i - 1] - u[i] for i in u], []


def hager3(v: Point, periods: int) -> Twin:
    h = 1 / periods
    x = {i: v[2 * i + 1] for i in range(periods + 1)}
    u = {i: v[2 * i] for i in range(1, periods + 1)}
    f = 0.0
    for i in u:
        f += 0.625 * (x[i - 1] ** 2 + x[i - 1] * x[i] + x[i] ** 2) + (x[i - 1] + x[i]) * u[i] + 2 * u[i] ** 2
    return h / 8 * f, [(1 / h - 1 / 4) * x[i] - (1 / h + 1 / 4) * x[i - 1] - u[i] for i in u], []


def dtoc3(v: Point, periods: int) -> Twin:
    s, f, c = 1 / periods, 0.0, []
    y1 = {t: v[3 * t - 2] for t in range(1, periods + 1)}
    y2 = {t: v[3 * t - 1] for t in range(1, periods + 1)}
    x = {t: v[3 * t] for t in range(1, periods)}
    for t in x:
        f += y1[t + 1] ** 2 + y2[t + 1] ** 2 / 2 + 3 * x[t] ** 2
        c += [-y1[t + 1] + y1[t] + s * y2[t], -y2[t + 1] + y2[t] - s * y1[t] + s * x[t]]
    return s * f, c, []


def dtoc1l(v: Point, periods: int, nx: int = 2, ny: int = 4) -> Twin:
    w, f, c = nx + ny, 0.0, []

    def y(t: int, j: int) -> float:
        return v[(t - 1) * w + j] if 1 <= j <= ny else 0.0

    def x(t: int, i: int) -> float:
        return v[(t - 1) * w + ny + i]

    for t in range(1, periods + 1):
        f += sum((y(t, j) + 1 / 4) ** 4 for j in range(1, ny + 1))
    for t in range(1, periods):
        f += sum((x(t, i) + 1 / 2) ** 4 for i in range(1, nx + 1))
        for j in range(1, ny + 1):
            row = -y(t + 1, j) + y(t, j) / 2 - y(t, j - 1) / 4 + y(t, j + 1) / 4
            c.append(row + sum((j - i) / w * x(t, i) for i in range(1, nx + 1)))
    return f, c, []


def lukvle8(x: Point, n: int, scaled: bool = True) -> Twin:
    l1, l2, l3, h, f = -0.002008, -0.0019, -0.000261, 1 / (n + 1), 0.0
    for i in range(1, n // 5 + 1):
        p, q, r, s, t = (x[5 * i - 4 + j] for j in range(5))
        f += exp(p * q * r * s * t) + 10 * (p * p + q * q + r * r + s * s + t * t - 10 - l1) ** 2
        f += 10 * (q * r - 5 * s * t - l2) ** 2 + 10 * (p**3 + q**3 + 1 - l3) ** 2
    c = []
    for k in range(1, n - 1):
        row = 2 * x[k + 1] - x[k] - x[k + 2] + h**2 / 2 * (x[k + 1] + h * (k + 1) + 1) ** 2
        c.append(row / h**2 if scaled else row)
    return f, c, []


def lukvli8(x: Point, n: int, scaled: bool = True) -> Twin:
    f, c, _ = lukvle8(x, n, scaled)
    return f, [], [-row for row in c]


def liswet1(x: Point, rows: int, order: int = 3) -> Twin:
    n, f = rows + order, 0.0
    for i in range(1, n + 1):
        f += (x[i] - sqrt((i - 1) / (n - 1)) - 0.1 * sin(i)) ** 2 / 2
    return f, [], [difference(x, j, order) for j in range(1, rows + 1)]


def difference(x: Point, j: int, order: int) -> float:
    signs = (1, -1)
    return sum(signs[i % 2] * comb(order, i) * x[j + order - i] for i in range(order + 1))


def corkscrw(v: Point, periods: int) -> Twin:
    way, mass, radius = 10, 0.37, 0.1
    h, w, f = way / periods, way * (periods + 1) / 2, 0.0
    s = [[v[j] for j in range(1, 7)]]  # x, y, z, vx, vy, vz
    u = [[0.0] * 3]
    for i in range(1, periods + 1):
        u.append([v[9 * i - 2 + j] for j in range(3)])
        s.append([v[9 * i + 1 + j] for j in range(6)])
    c, g = [], []
    for i in range(1, periods + 1):
        f += i * h / w * (s[i][0] - way) ** 2
        c += [mass / h * (s[i][3 + a] - s[i - 1][3 + a]) - u[i][a] for a in range(3)]
        c += [(s[i][a] - s[i - 1][a]) / h - s[i][3 + a] for a in range(3)]
        g.append(-((s[i][1] - sin(s[i][0])) ** 2 + (s[i][2] - cos(s[i][0])) ** 2 - radius**2))
    return f, c, g


def optcntrl(v: Point, periods: int) -> Twin:
    x = {t: v[3 * t + 1] for t in range(periods + 1)}
    y = {t: v[3 * t + 2] for t in range(periods + 1)}
    u = {t: v[3 * t + 3] for t in range(periods)}
    c = []
    for t in u:
        c.append(x[t + 1] - x[t] - 0.2 * y[t])
        c.append(y[t + 1] - y[t] + 0.01 * y[t] ** 2 + 0.004 * x[t] - 0.2 * u[t])
    return sum(x[t] ** 2 for t in x) / 2, c, []


def hanging(v: Point, intervals: int) -> Twin:
    h, c = 1 / intervals, []

    def rates(k: int) -> tuple[float, float, float]:
        x1, u = v[4 * k + 1], v[4 * k + 4]
        return u, x1 * sqrt(1 + u**2), sqrt(1 + u**2)

    for k in range(intervals):
        for a, (one, other) in enumerate(zip(rates(k), rates(k + 1), strict=True), start=1):
            c.append(v[4 * k + 4 + a] - v[4 * k + a] - h / 2 * (one + other))
    return v[4 * intervals + 2], c, []
