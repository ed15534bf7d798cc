"""The methods of recovery side by side: products, error against n and against the scale of H, time.

    python benchmarks/recovery.py [--plot docs/recovery.png] [--quick]

The function is ½ Σ_i (Σ_d w_{i,d} s_{i+d} x_{i+d})² with random w, d = 0..k, and scales s: its
Hessian S Wᵀ W S is known in closed form, and is computed here in long double. Errors
are relative to sqrt(H_ii H_jj), in units of the dtype's eps. Last comes what random probes
can do with fewer than 2k + 1 of them, where symmetry has to make up for the rest.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import banded
from banded.hessian.substitute import Substitution

K = 4
METHODS = ("direct", "symmetric", "fourier", "random")
DTYPES = (torch.float64, torch.float32)
UNDAMPED = "symmetric, neither damped nor scaled"


@dataclass(frozen=True)
class Quadratic:
    """The function, and its Hessian as a lower band in long double."""

    weights: np.ndarray  # (k + 1, n)
    scales: np.ndarray  # (n,)

    @property
    def band(self) -> np.ndarray:
        rows, n = self.weights.shape
        w = np.pad(self.weights.astype(np.longdouble), ((0, 0), (rows, rows)))
        s = np.pad(self.scales.astype(np.longdouble), (0, rows))
        column = np.arange(n)
        band = np.zeros((rows, n), dtype=np.longdouble)
        for d in range(rows):
            for a in range(rows - d):  # equation i = column - a couples columns i + a and i + a + d
                band[d] += w[a, column - a + rows] * w[a + d, column - a + rows]
            band[d] *= s[column] * s[column + d]
            band[d, n - d :] = 0
        return band

    def __call__(self, x: Tensor) -> Tensor:
        rows, n = self.weights.shape
        w = torch.from_numpy(self.weights).to(x)
        y = torch.nn.functional.pad(x * torch.from_numpy(self.scales).to(x), (0, rows - 1))
        forms = sum((w[d] * y[d : d + n] for d in range(rows)), torch.zeros_like(x))
        return 0.5 * forms.square().sum()


def quadratic(n: int, orders: float = 0, k: int = K) -> Quadratic:
    """With entries that float32 holds exactly, and scales over that many orders of magnitude of H, shuffled."""
    rng = np.random.default_rng(n)
    weights = rng.standard_normal((k + 1, n)).astype(np.float32).astype(np.float64)
    weights[0] += 2 * np.sign(weights[0])
    exponents = np.linspace(0, -orders / 2 * np.log2(10), n).round()
    return Quadratic(weights, np.exp2(rng.permutation(exponents)))


def error(f: Quadratic, method: str, dtype: torch.dtype) -> float:
    """Largest error of an entry, in eps relative to sqrt(H_ii H_jj)."""
    n = f.weights.shape[1]
    x = torch.zeros(n, dtype=dtype)
    plan = banded.plan(f, x, bandwidth=len(f.weights) - 1, method=method.split(",")[0], check=method == "symmetric")
    if "," in method:
        assert isinstance(plan.extraction.recovery, Substitution)
        bare = plan.extraction.recovery.undamped()
        comb = (bare.coloring.colors == torch.arange(bare.coloring.count)[:, None]).to(dtype)
        band = bare(plan.choice.run(x, comb)[2])
    else:
        band = plan(x)[2].band
    exact = f.band
    size = np.sqrt(exact[0])
    worst = 0.0
    for d in range(len(exact)):
        m = n - d
        difference = np.abs(band[d, :m].numpy().astype(np.longdouble) - exact[d, :m])
        worst = max(worst, float((difference / (size[:m] * size[d:])).max()))
    return worst / torch.finfo(dtype).eps


def seconds(n: int, method: str) -> tuple[float, float]:
    """Of the products and of the recovery, the best of several."""
    f, x = quadratic(n), torch.zeros(n, dtype=torch.float64)
    plan = banded.plan(f, x, bandwidth=K, method=method)
    products = plan.compressed(x)
    return best(partial(plan.compressed, x)), best(partial(plan.recover, products))


def best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def row_by_row(k: int, probes: int, lengths: tuple[int, ...]) -> list[float]:
    """Largest errors, in eps, in the first n rows, where each row takes what earlier ones know and solves for the rest.

    Entries have unit variance, and the random vectors go on past both ends.
    """
    rng, n = np.random.default_rng(0), max(lengths)
    exact = np.zeros((n, 2 * k + 1))  # row i from column i - k on
    for d in range(k + 1):
        exact[: n - d, k + d] = rng.standard_normal(n - d)
        exact[d:, k - d] = exact[: n - d, k + d]
    vectors = rng.standard_normal((probes, n + 2 * k))
    products = np.zeros((probes, n))
    for o in range(2 * k + 1):
        products += exact[:, o] * vectors[:, o : o + n]
    found = np.zeros((n + k, 2 * k + 1))
    for i in range(n):
        rest = products[:, i] - vectors[:, i : i + k] @ found[i, :k]
        found[i, k:] = np.linalg.lstsq(vectors[:, i + k : i + 2 * k + 1], rest, rcond=None)[0]
        for a in range(1, k + 1):
            found[i + a, k - a] = found[i, k + a]
    error = np.where(exact != 0, np.abs(found[:n] - exact), 0).max(1) / np.finfo(float).eps
    return [float(error[:length].max()) for length in lengths]


def counts() -> Iterator[str]:
    """Products of each method on full bands and on block-tridiagonal ones."""
    yield f"{'products':<28}" + "".join(f"{method:>12}" for method in METHODS)
    for k in (1, 4, 16, 64):
        x = torch.zeros(8 * k + 40, dtype=torch.float64)
        made = [banded.plan(quadratic(len(x), k=k), x, bandwidth=k, method=method).products for method in METHODS]
        yield f"{f'full band, k = {k}':<28}" + "".join(f"{count:12d}" for count in made)
    for b in (2, 3, 5):
        x = torch.randn(40, b, dtype=torch.float64)
        made = [banded.plan(blocks, x, method=method).products for method in METHODS]
        yield f"{f'block-tridiagonal, b = {b}':<28}" + "".join(f"{count:12d}" for count in made)


def blocks(x: Tensor) -> Tensor:
    return (x[1:].sum(1) * x[:-1].sum(1)).sin().sum() + x.sum(1).cos().sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, help="draw the comparison")
    parser.add_argument("--quick", action="store_true", help="small sizes")
    options = parser.parse_args()
    torch.set_num_threads(1)
    sizes = (100, 1_000, 10_000) if options.quick else (100, 1_000, 10_000, 100_000, 1_000_000)
    print(*counts(), sep="\n")
    ways = (*METHODS, UNDAMPED)
    by_size = {(way, t): [error(quadratic(n), way, t) for n in sizes] for way in ways for t in DTYPES}
    show("error in eps against n", sizes, by_size)
    orders = (0, 3, 6, 9, 12)
    by_scale = {(way, t): [error(quadratic(2_000, o), way, t) for o in orders] for way in ways for t in DTYPES}
    show("error in eps against orders of magnitude in the diagonal, n = 2,000", orders, by_scale)
    times = {method: [seconds(n, method) for n in sizes] for method in METHODS}
    print("\nmilliseconds: products + recovery, eager, k = 4")
    for method, pairs in times.items():
        print(f"{method:<40}" + "".join(f"{f'{1e3 * a:.2f} + {1e3 * b:.2f}':>18}" for a, b in pairs))
    lengths = (100, 1_000) if options.quick else (100, 1_000, 10_000)
    few = {(k, m): row_by_row(k, m, lengths) for k in (1, 2, 4, 8) for m in sorted({k + 1, k + 2, 2 * k, 2 * k + 1})}
    print("\nerror in eps of random probes, row by row with symmetry, against n\n" + f"{'':<24}", end="")
    print("".join(f"{length:>10,}" for length in lengths))
    for (k, m), errors in few.items():
        print(f"k = {k}, {m:2d} probes{'':<9}" + "".join(f"{value:10.2g}" for value in errors))
    if options.plot:
        draw(options.plot, sizes, by_size, orders, by_scale, times, lengths, few)
        print(f"picture: {options.plot}")


Errors = dict[tuple[str, torch.dtype], list[float]]


def show(title: str, columns: tuple[int, ...], errors: Errors) -> None:
    print(f"\n{title}\n{'':<48}" + "".join(f"{column:>10,}" for column in columns))
    for (way, dtype), values in errors.items():
        print(f"{way:<38}{str(dtype)[6:]:<10}" + "".join(f"{value:10.2g}" for value in values))


def draw(
    path: Path,
    sizes: tuple[int, ...],
    by_size: Errors,
    orders: tuple[int, ...],
    by_scale: Errors,
    times: dict[str, list[tuple[float, float]]],
    lengths: tuple[int, ...],
    few: dict[tuple[int, int], list[float]],
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    (left, right), (below, last) = figure.subplots(2, 2)
    for axes, columns, errors in ((left, sizes, by_size), (right, orders, by_scale)):
        for number, way in enumerate((*METHODS, UNDAMPED)):
            for dtype, style in zip(DTYPES, ("-", "--"), strict=True):
                label = way if dtype is torch.float64 else None
                axes.semilogy(
                    columns, np.maximum(errors[way, dtype], 0.1), style, color=f"C{number}", label=label, marker="."
                )
        axes.set(ylabel="error in eps of sqrt(H_ii H_jj)")
        axes.grid(alpha=0.3)
    left.set(xscale="log", xlabel="n", title=f"k = {K}, well scaled; dashed: float32")
    left.legend(fontsize=8)
    right.set(xlabel="orders of magnitude in the diagonal", title="n = 2,000, scales shuffled; dashed: float32")
    for number, (method, pairs) in enumerate(times.items()):
        whole, recovery = [1e3 * (a + b) for a, b in pairs], [1e3 * b for _, b in pairs]
        below.loglog(sizes, whole, ".-", color=f"C{number}", label=method)
        below.loglog(sizes, recovery, ".:", color=f"C{number}")
    below.set(xlabel="n", ylabel="milliseconds, eager", title="products and recovery; dotted: recovery alone")
    below.legend(fontsize=8)
    below.grid(alpha=0.3)
    for (k, m), found in few.items():
        color = f"C{[1, 2, 4, 8].index(k)}"
        style = ":" if m == 2 * k + 1 else "-" if m == k + 1 else "--"
        last.loglog(lengths, np.minimum(found, 1e18), style, color=color, marker=".", label=f"k = {k}, {m} probes")
    last.axhline(1 / np.finfo(float).eps, color="grey", linewidth=0.8)
    last.set(xlabel="n", ylabel="error in eps", title="random probes, row by row with symmetry; dotted: 2k + 1")
    last.grid(alpha=0.3)
    last.legend(fontsize=6, ncols=2)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
