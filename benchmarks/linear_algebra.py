"""Time and memory of banded linear algebra: banded against LAPACK, SciPy's solvers and sparse matrices.

    python benchmarks/linear_algebra.py [--only definite batch memory ...] [--repeat 7] [--quick]

All on one thread unless a row says otherwise. Each column of a table is a task, for which all rows must give the same
numbers before it is timed. Then they run in turn, `--repeat` times, each turn once to warm up and as often as fills
10 ms; the fastest counts, in microseconds. In brackets stands how many times faster than a reference it is, or, where
the title says so, how many times its time; `!` marks what misses a target.

banded goes from torch tensors to torch tensors, from a band `(k + 1, n)` that is contiguous and from one in LAPACK's
order, `band.mT` contiguous, which needs no copy. The others have NumPy arrays in the order they like best: LAPACK and
solve(h)_banded Fortran's, splu a matrix in CSC that is ordered already.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # which BLAS reads when it is loaded

import numpy as np
import torch
from extraction import Row, machine, reset_peak, status
from numpy.typing import NDArray
from peers import Way
from rich.console import Console
from rich.table import Column, Table
from scipy import sparse
from scipy.linalg import lapack, solve_banded, solveh_banded
from scipy.sparse.linalg import splu
from torch import Tensor

from banded import Banded, SymmetricBanded

Calls = dict[str, Callable[[], object]]  # by column
Rows = dict[str, Calls]

BAND, COLUMNS = "banded, band contiguous", "banded, band.mT contiguous"
console = Console(width=170, highlight=False)


@dataclass(frozen=True)
class Scale:
    repeat: int  # turns of each cell
    n: int = 100_000
    bandwidths: tuple[int, ...] = (1, 4, 9, 40)
    batch: int = 1_000
    huge: int = 10_000_000
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)


def contest(scale: Scale, title: str, rows: Rows, reference: str, target: float = 0, units: bool = False) -> None:
    """Check, time and print; `target` is a ratio to the reference: at least so fast, or in units at most so long."""
    names = list(dict.fromkeys(name for calls in rows.values() for name in calls))
    for name in names if not units else []:  # in units, rows have numbers of their own
        agree(f"{title}, {name}", {row: calls[name] for row, calls in rows.items() if name in calls})
    cells = {(row, name): Row("", Way(call, None, 0), 0) for row in rows for name, call in rows[row].items()}
    for cell in [*cells.values()] * scale.repeat:
        cell.turn()
    aim = f"[in units of {reference}]" if units else f"(times the speed of {reference})"
    aim += f", target {'≤' if units else '≥'} {target}" if target else ""
    console.print(f"{title}; µs {aim}", style="bold", markup=False)
    table = Table("", *(Column(name, justify="right") for name in names), box=None, pad_edge=False)
    for row, calls in rows.items():
        texts = []
        for name in names:
            texts.append(f"{cells[row, name].seconds * 1e6:,.0f}" if name in calls else "")
            if name in calls and name in rows[reference]:
                ratio = (cells[reference, name].seconds / cells[row, name].seconds) ** (-1 if units else 1)
                missed = row.startswith("banded") and target and (ratio > target if units else ratio < target)
                texts[-1] += (f" \\[{ratio:.2f}]" if units else f" ({ratio:.2f})") + "!" * bool(missed)
        table.add_row(row, *texts)
    console.print(table, "")


def agree(title: str, calls: Calls) -> None:
    """All must give the numbers of the first that gives any, to half the digits of the largest."""
    found = {row: one for row, call in calls.items() if (one := numbers(call())) is not None}
    for row, one in found.items():
        first = next(iter(found.values()))
        error = np.abs(one - first).max() / np.abs(first).max()
        if not (one.shape == first.shape and error <= np.finfo(one.dtype).eps ** 0.5):  # a NaN fails, too
            raise SystemExit(f"{title}: {row} is off by {error:.3g} of the largest number")


def numbers(output: Any) -> NDArray[Any] | None:
    """As an array; of a matrix its product with a vector, of a factor None: it is checked by what it solves."""
    if isinstance(output, SymmetricBanded | Banded) or sparse.issparse(output):
        x = random(output.shape[-1])
        output = output @ (x.numpy() if sparse.issparse(output) else x)
    return np.asarray(output) if isinstance(output, Tensor | np.ndarray) else None


def random(*shape: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(sum(shape)).standard_normal(shape))


def symmetric(n: int, k: int, shift: float = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Lower band of a random matrix: as indefinite as can be, or by a shift of 1 positive definite."""
    band = random(k + 1, n)
    band[0] += shift * (4 * (k + 1) ** 0.5 + 4)
    return SymmetricBanded(band.to(dtype)).cleaned().band


def kkt(n: int, states: int, controls: int) -> Tensor:
    """Lower band of [[Q, Cᵀ], [C, 0]]: stage by stage states x, controls u, multipliers of x' = A x + B u."""
    primal, size = states + controls, 2 * states + controls
    dynamics = np.eye(states, primal) + 0.3 * random(n // size, states, primal).numpy()
    band = np.zeros((size, n // size, size))
    band[0, :, :primal] = 1
    for i, j in np.ndindex(states, primal):
        band[primal + i - j, :, j] = dynamics[:, i, j]
    band[states, :-1, primal:] = -1
    return torch.from_numpy(band.reshape(size, -1))


def full(band: Tensor) -> Tensor:
    return Banded.from_symmetric(SymmetricBanded(band)).band


def to_sparse(general: Tensor, kind: type = sparse.csc_array) -> Any:
    """A square matrix from its general band, as wide above as below."""
    n, k = general.shape[1], len(general) // 2
    return kind(sparse.dia_array((general.numpy(), k - np.arange(2 * k + 1)), shape=(n, n)))


def layouts(band: Tensor) -> dict[str, Tensor]:
    return {BAND: band.contiguous(), COLUMNS: band.mT.contiguous().mT}


def fortran(tensor: Tensor) -> NDArray[Any]:
    return np.asfortranarray(tensor.numpy())


def sides(band: Tensor) -> tuple[Tensor, Tensor]:
    return random(band.shape[1]).to(band.dtype), random(band.shape[1], 8).to(band.dtype)


def tasks(factor: Callable[[], Any], solve: Callable[[Any, Any], object], one: Any, eight: Any) -> Calls:
    """Factor, solve and both, with one right-hand side and with eight."""
    kept = factor()
    return {
        "factor": factor,
        "solve": lambda: solve(kept, one),
        "solve 8": lambda: solve(kept, eight),
        "factor + solve": lambda: solve(factor(), one),
        "factor + solve 8": lambda: solve(factor(), eight),
    }


def ours(factor: Callable[[Tensor], Any], band: Tensor) -> dict[str, Calls]:
    ways = {name: partial(factor, stored) for name, stored in layouts(band).items()}
    return {name: tasks(way, lambda made, b: made.solve(b), *sides(band)) for name, way in ways.items()}


def pbtrf(band: Tensor) -> Calls:
    letter, ab = "s" if band.dtype == torch.float32 else "d", fortran(band)
    factor, solve = getattr(lapack, letter + "pbtrf"), getattr(lapack, letter + "pbtrs")
    return tasks(lambda: factor(ab, lower=1)[0], lambda c, b: solve(c, b, lower=1)[0], *map(fortran, sides(band)))


def gbtrf(band: Tensor) -> Calls:
    k, (factor, solve) = len(band) // 2, (lapack.dgbtrf, lapack.dgbtrs)
    ab = np.asfortranarray(np.pad(band, ((k, 0), (0, 0))))
    return tasks(lambda: factor(ab, k, k)[:2], lambda m, b: solve(m[0], k, k, b, m[1])[0], *map(fortran, sides(band)))


def superlu(general: Tensor) -> Calls:
    factor = partial(splu, to_sparse(general), permc_spec="NATURAL")
    return tasks(factor, lambda made, b: made.solve(b), *map(fortran, sides(general)))


def at_once(solve: Callable[[NDArray[Any]], object], band: Tensor) -> Calls:
    return {f"factor + solve{' 8' * (b.ndim - 1)}": partial(solve, fortran(b)) for b in sides(band)}


def cholesky(band: Tensor) -> Any:
    return SymmetricBanded(band).cholesky()


def factor_and_solve(band: Tensor, b: Tensor) -> Tensor:
    return SymmetricBanded(band).solve(b)


def definite(scale: Scale) -> None:
    """One positive definite band; a dense matrix for comparison."""
    for k in scale.bandwidths:
        for dtype in scale.dtypes:
            band = symmetric(scale.n, k, 1, dtype)
            rows = {"LAPACK pbtrf, pbtrs": pbtrf(band), **ours(cholesky, band), "splu": superlu(full(band))}
            rows["solveh_banded"] = at_once(partial(solveh_banded, fortran(band), lower=True), band)
            contest(scale, f"definite, n = {scale.n:,}, k = {k}, {dtype}", rows, "LAPACK pbtrf, pbtrs", 1)
    band, right = symmetric(scale.n // 50, 9, 1), (random(scale.n // 50, 1), random(scale.n // 50, 8))
    dense = partial(torch.linalg.cholesky, SymmetricBanded(band).to_dense())
    rows = {"dense": tasks(dense, lambda L, b: torch.cholesky_solve(b, L), *right)}
    rows["banded"] = tasks(partial(cholesky, band), lambda made, b: made.solve(b), *right)
    contest(scale, f"torch.linalg.cholesky, dense, n = {scale.n // 50:,}, k = 9", rows, "dense")


def batch(scale: Scale) -> None:
    """Many bands at once."""
    n, k = 500, 9
    for dtype in scale.dtypes:
        bands = torch.stack([symmetric(n + i, k, 1, dtype)[:, :n] for i in range(scale.batch)])
        b = random(scale.batch, n).to(dtype)
        pairs = [(fortran(band), one.numpy()) for band, one in zip(bands, b, strict=True)]
        loop = partial(lambda pairs: np.stack([solveh_banded(*pair, lower=True) for pair in pairs]), pairs)
        rows: Rows = {"loop of solveh_banded": {"factor + solve": loop}}
        for layout, band in layouts(bands).items():
            for count in (1, 2):
                calls = {"factor": partial(cholesky, band), "factor + solve": partial(factor_and_solve, band, b)}
                held: Calls = {name: partial(with_threads, count, call) for name, call in calls.items()}
                rows[f"{layout}, {count} thread(s)"] = held
        contest(scale, f"{scale.batch:,} bands, n = {n}, k = {k}, {dtype}", rows, "loop of solveh_banded", 5)


def with_threads(count: int, call: Callable[[], object]) -> object:
    torch.set_num_threads(count)
    output = call()
    torch.set_num_threads(1)
    return output


def peak(n: int, k: int, dtype: torch.dtype, way: str) -> float:
    """Most memory held by one solve, in bands: everything from the band on."""
    cholesky(symmetric(40_000, k, 1, dtype)).solve(torch.ones(40_000, dtype=dtype))  # so that all is loaded
    reset_peak()
    base = status("VmRSS")
    band = torch.full((k + 1, n), -1, dtype=dtype) if way == BAND else torch.full((n, k + 1), -1, dtype=dtype).mT
    band[0] = 2 * k + 1
    b = torch.ones(n, dtype=dtype)
    x = factor_and_solve(band, b) if "banded, " in way else solveh_banded(band.numpy(), b.numpy(), lower=True)
    held = status("VmHWM") - base
    assert float((SymmetricBanded(band) @ torch.as_tensor(x) - b).abs().max()) < 1e-3
    return held / band.nbytes


def memory(scale: Scale) -> None:
    """Peak of one solve."""
    for dtype in scale.dtypes:
        console.print(f"memory of band, right-hand side and solve, n = {scale.huge:,}, k = 2, {dtype}, target ≤ 3")
        for way in (BAND, COLUMNS, "solveh_banded"):
            held = peak(scale.huge, 2, dtype, way)
            console.print(f"  {way:28} {held:.2f} bands" + "!" * (held > 3 and way != "solveh_banded"))
    console.print()


def derivatives(scale: Scale) -> None:
    """Gradients and the inverse on the band, whose numbers the tests check."""
    for dtype in scale.dtypes:
        for layout in (BAND, COLUMNS):
            rows: Rows = {}
            for k in scale.bandwidths:
                for row, call in differentiated(layouts(symmetric(scale.n, k, 1, dtype))[layout]).items():
                    rows.setdefault(row, {})[f"k = {k}"] = call
            contest(scale, f"derivatives, {layout}, n = {scale.n:,}, {dtype}", rows, "factor", 5, units=True)


def differentiated(band: Tensor) -> Calls:
    """What is asked for, factorisation included."""
    b, leaf = sides(band)[0], band.clone().requires_grad_()  # in the same order
    functions: dict[str, Callable[[SymmetricBanded], Tensor]] = {
        "logdet": lambda A: A.cholesky().logdet(),
        "inverse_band": lambda A: A.inverse_band().band,
        "solve": lambda A: A.solve(b),
    }
    calls: Calls = {"factor": partial(cholesky, band)}
    for name, f in functions.items():
        calls[f"banded, {name}"] = partial(f, SymmetricBanded(band))
        row = "" if name == "inverse_band" else "banded, "  # that gradient has no target
        calls[f"{row}{name} and gradient"] = partial(
            lambda f: torch.autograd.grad(y := f(SymmetricBanded(leaf)), leaf, torch.ones_like(y)), f
        )
    return calls


def indefinite(scale: Scale) -> None:
    """LDLᵀ and LU."""
    cases = {f"definite, k = {k}": symmetric(scale.n, k, 1) for k in scale.bandwidths}
    cases |= {f"random, k = {k}": symmetric(scale.n, k) for k in scale.bandwidths}
    cases |= {f"KKT, {x} states and {u} controls": kkt(scale.n, x, u) for x, u in ((4, 1), (12, 4))}
    for title, band in cases.items():
        general = full(band)
        alike = pbtrf(symmetric(band.shape[1], len(band) - 1, 1))
        rows = {"LAPACK gbtrf, gbtrs": gbtrf(general), "pbtrf, of a definite band": {"factor": alike["factor"]}}
        rows |= {"splu": superlu(general), **ours(lambda band: SymmetricBanded(band).ldl(), band)}
        contest(scale, f"LDLᵀ, {title}, n = {band.shape[1]:,}", rows, "LAPACK gbtrf, gbtrs")
    for k in scale.bandwidths:
        general = Banded(random(2 * k + 1, scale.n), k, k).cleaned().band
        rows = {"LAPACK gbtrf, gbtrs": gbtrf(general), "splu": superlu(general)}
        rows["solve_banded"] = at_once(partial(solve_banded, (k, k), fortran(general)), general)
        rows |= ours(lambda band: Banded(band, len(band) // 2, len(band) // 2).lu(), general)
        contest(scale, f"LU, k = {k} both ways, n = {scale.n:,}", rows, "LAPACK gbtrf, gbtrs")


def products_of(A: Any, x: Any, columns: Any) -> Calls:
    return {"A x": lambda: A @ x, "A x, 8": lambda: A @ columns, "A A": lambda: A @ A}


def products(scale: Scale) -> None:
    """With vectors, with each other, and Aᵀ D A."""
    for k in scale.bandwidths:
        band, (x, columns) = symmetric(scale.n, k), sides(symmetric(scale.n, k))
        weights, rows = random(scale.n).abs(), Rows()
        for name, kind in (("SciPy, dia_array", sparse.dia_array), ("SciPy, csr_array", sparse.csr_array)):
            A, D = to_sparse(full(band), kind), to_sparse(weights[None], kind)
            rows[name] = products_of(A, x.numpy(), columns.numpy()) | {
                "Aᵀ D A": partial(lambda A, D: A.T @ D @ A, A, D)
            }
        for name, stored in layouts(full(band)).items():
            congruence = partial(Banded(stored, k, k).congruence, weights)
            rows[name] = products_of(Banded(stored, k, k), x, columns) | {"Aᵀ D A": congruence}
        rows["banded, symmetric"] = products_of(SymmetricBanded(band), x, columns)
        contest(scale, f"products, n = {scale.n:,}, k = {k} both ways", rows, "SciPy, dia_array")


def small(scale: Scale) -> None:
    """Where Python around the kernels counts."""
    for n in (50, 500):
        band = symmetric(n, 4, 1)
        rows = {"solveh_banded": at_once(partial(solveh_banded, fortran(band), lower=True), band)}
        rows |= {"LAPACK pbtrf, pbtrs": pbtrf(band), "banded, cholesky": ours(cholesky, band)[BAND]}
        rows["banded, ldl"] = ours(lambda band: SymmetricBanded(band).ldl(), band)[BAND]
        contest(scale, f"small, n = {n}, k = 4", rows, "solveh_banded")


SECTIONS = {f.__name__: f for f in (definite, batch, memory, derivatives, indefinite, products, small)}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS), help="what to measure")
    parser.add_argument("--repeat", type=int, default=7, help="turns of each cell, the fastest counts")
    parser.add_argument("--quick", action="store_true", help="small sizes, one turn: does it run?")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console.print(machine(), "")
    scale = Scale(1, 2_000, (1, 9), 20, 300_000, (torch.float64,)) if options.quick else Scale(options.repeat)
    for name in options.only:
        SECTIONS[name](scale)


if __name__ == "__main__":
    main()
