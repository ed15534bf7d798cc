"""Time and memory of exact banded Hessians: banded against asdex, JAX, CasADi and the plain ways of PyTorch.

    pip install asdex jax casadi    # as far as wanted: what is missing is left out
    python benchmarks/extraction.py [--only cartpole band planning memory] [--sizes 10000 100000] [--repeat 5]

Two families of functions, in float64, on one thread of one core:

    cartpole  cost + 10 Σ c² of the cart-pole, k = 6
    band      Σ sin(x_i x_{i+d}) / d over d = 1..k, k = 1, 4, 16, 64

Before any is timed, all Hessians of a function are held against each other at a
random x: each entry to 1e-9 of itself, or to the rounding of its row. Then the ways run
in turn, `--repeat` times, each once to warm up and as often as fills 10 ms; the fastest
turn counts. Times are also given in units

    gradients   of the gradient with value, torch.func.grad_and_value, compiled as a whole
    eager,      of banded's two rows: above 1, banded is faster
    compiled
    limit       of the output's bytes over the bandwidth of memory, taken from a copy of 256 MB
                in the same run; what fits in caches may come below it

What a way gives differs, see peers.py; no way but banded gives value, gradient and
band together. Set-up is all from the function to the end of the first call; the
second row of asdex takes the colours of the first. Each function,
planning and memory have processes of their own. All takes about half an hour, of which
n = 10^5 with k = 64 takes a third; `--quick` takes less than a minute.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import itertools
import os
import platform
import time
import timeit
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peers import COMPILED, COMPILED_GRADIENT, EAGER, WAYS, Case, Skipped, Way, make, optional, pairs
from rich.console import Console
from rich.table import Table

import banded

CARTPOLE_SIZES = (500, 2_000, 10_000, 100_000, 1_000_000)
BAND_SIZES = (10_000, 100_000)
BANDWIDTHS = (1, 4, 16, 64)
SECTIONS = ("cartpole", "band", "planning", "memory")
TURN = 0.01  # seconds of calls that a turn is filled with
PATIENCE = 8.0  # seconds of turns after which a way has no other
console = Console(width=150, highlight=False)


@dataclass
class Row:
    """A way that has been set up, and its fastest turn so far."""

    name: str
    way: Way
    setup: float
    seconds: float = float("inf")
    spent: float = 0.0

    def turn(self) -> None:
        """Warm up, then time as many calls as fill a turn."""
        if self.spent > PATIENCE:
            return
        each = timeit.timeit(self.way.call, number=1)
        number = max(1, int(TURN / each))
        self.spent += each
        if each < 1:  # a slower one needs no warming up
            each = timeit.timeit(self.way.call, number=number) / number
            self.spent += number * each
        self.seconds = min(self.seconds, each)


def set_up(case: Case, names: list[str]) -> tuple[list[Row], list[str]]:
    """The ways that are there, checked against each other, and why the rest are not."""
    rows, reasons = [], []
    reference: np.ndarray | None = None
    for name in names:
        start = time.perf_counter()
        try:
            way = WAYS[name](case)
            output = way.call()
        except Skipped as reason:
            reasons.append(f"{name}: not run, {reason}")
            continue
        rows.append(Row(name, way, time.perf_counter() - start))
        if way.note:
            reasons.append(f"{name}: {way.note}")
        if way.band is not None:
            band = way.band(output)
            reference = band if reference is None else reference
            agree(name, band, reference)
    return rows, reasons


def agree(name: str, band: np.ndarray, reference: np.ndarray) -> None:
    """Each entry to 1e-9 of itself, beyond what its rows round to."""
    k, n = len(reference) - 1, reference.shape[1]
    size = np.abs(reference)
    rows = size.sum(0)
    for d in range(1, k + 1):
        rows[d:] += size[d, : n - d]
    for d in range(k + 1):
        m = n - d
        error = np.abs(band[d, :m] - reference[d, :m])
        allowed = 1e-9 * size[d, :m] + 100 * np.finfo(float).eps * np.sqrt(rows[:m] * rows[d:])
        if not (error <= allowed).all():  # written such that a NaN fails
            raise SystemExit(f"{name}: differs from {EAGER} by up to {error.max():.3g} on diagonal {d}")


def bandwidth_of_memory() -> float:
    """Bytes per second read and written by a copy that no cache holds."""
    source = torch.ones(2**25, dtype=torch.float64)
    target = torch.ones_like(source)
    return 2 * 8 * len(source) / min(timeit.repeat(lambda: target.copy_(source), number=1, repeat=9))


def compare(family: str, size: int, k: int, repeat: int, bandwidth: float) -> dict[str, float]:
    """Prints the table of one function; seconds of each way. To be run in a new process."""
    case = make(family, size, k)
    rows, reasons = set_up(case, list(WAYS))
    for _ in range(repeat):
        for row in rows:
            row.turn()
    seconds = {row.name: row.seconds for row in rows}
    title = f"{case.title}: n = {case.n:,}, k = {case.bandwidth}; memory copies {bandwidth / 1e9:.1f} GB/s"
    table = Table(title=title, box=None, pad_edge=False, title_justify="left")
    table.add_column("")
    for heading in ("products", "set-up s", "ms", "gradients", "/ eager", "/ compiled", "limit ms", "/ limit"):
        table.add_column(heading, justify="right")
    for row in rows:
        limit = row.way.written / bandwidth
        units = [seconds[name] for name in (COMPILED_GRADIENT, EAGER, COMPILED)]
        table.add_row(
            row.name,
            str(row.way.products or ""),
            f"{row.setup:.2f}",
            f"{row.seconds * 1e3:.4g}",
            *(f"{row.seconds / unit:.3g}" for unit in units),
            f"{limit * 1e3:.3g}",
            f"{row.seconds / limit:.3g}",
        )
    console.print(table)
    console.print(*reasons, "", sep="\n", markup=False)
    return seconds


def exponents(measured: dict[int, dict[str, float]]) -> Iterator[str]:
    """Lines: p of time ~ n^p by least squares, over the sizes from 10^4 where all unknowns count."""
    sizes = [n for n in sorted(measured) if n >= 10_000]
    if len(sizes) < 2:
        return
    for name in (EAGER, COMPILED, COMPILED_GRADIENT):
        times = [measured[n][name] for n in sizes]
        power = np.polyfit(np.log(sizes), np.log(times), 1)[0]
        each = ", ".join(f"{t / n * 1e9:.1f}" for n, t in zip(sizes, times, strict=True))
        yield f"{name:20} ~ n^{power:.3f}; {each} ns per unknown at n = {', '.join(f'{n:,}' for n in sizes)}"


def plan_with(library: str, case: Case) -> None:
    if library == "banded":
        banded.plan(case.torch, case.x)
    else:
        jax, asdex = optional("jax"), optional("asdex")
        asdex.hessian_coloring(case.jax(jax.numpy), jax.numpy.asarray(case.x.numpy()))


def time_planning(library: str, family: str, size: int) -> list[float] | str:
    """Seconds of planning 50 unknowns, `size` and `size` again, or why not; to be run in a new process."""
    try:
        if library == "asdex":
            optional("asdex")  # whose import is not planning
        return [timeit.timeit(partial(plan_with, library, make(family, n, 4)), number=1) for n in (50, size, size)]
    except Skipped as reason:
        return str(reason)


def planning(size: int, threads: int) -> None:
    console.print(f"planning, n = {size:,}: banded.plan eager, asdex.hessian_coloring (detection and colours)")
    for family in ("cartpole", "band"):
        fastest = []
        for library in ("banded", "asdex"):
            found = fresh(threads, time_planning, library, family, size)
            if isinstance(found, str):
                console.print(f"  {family:9} {library:7} not run, {found}")
                continue
            tiny, first, again = found
            console.print(f"  {family:9} {library:7} {first:7.3f} s, again {again:7.3f} s,", end=" ")
            console.print(f"both after the first of the process, of 50 unknowns, which takes {tiny:.3f} s")
            fastest.append(min(first, again))
        if len(fastest) == 2:
            console.print(f"  {family:9} asdex / banded: {fastest[1] / fastest[0]:.3g}")
    console.print()


def status(key: str) -> int:
    """Bytes of a line of /proc/self/status: VmRSS is what is held, VmHWM the peak since its reset."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(key + ":"))


def reset_peak() -> None:
    """As getrusage cannot: its peak remembers planning, and the parent that started the process.

    What is free already goes back to the system, or later peaks would hide in it.
    """
    gc.collect()
    with contextlib.suppress(AttributeError):  # another library than glibc
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def peaks(size: int, k: int) -> dict[str, int] | str:
    """Bytes above those held once x is there; to be run in a new process."""
    try:
        reset_peak()
    except OSError:
        return "it takes Linux's /proc/self/clear_refs"
    tiny, case = pairs(50, k), pairs(size, k)
    banded.plan(tiny.torch, tiny.x)(tiny.x)  # so that nothing is loaded for the first time
    x = case.x
    reset_peak()
    base = status("VmRSS")
    plan = banded.plan(case.torch, x)
    found = {"peak of planning": status("VmHWM") - base}
    reset_peak()
    found["held by the plan"] = status("VmRSS") - base
    result: Any = plan(x)
    found["peak of an evaluation, with the plan"] = status("VmHWM") - base
    reset_peak()
    found["held by the plan and the result"] = status("VmRSS") - base
    del result
    return found


def memory(size: int, threads: int, k: int = 4) -> None:
    found = fresh(threads, peaks, size, k)
    band = 8 * size * (k + 1)
    console.print(f"memory of {EAGER}, Σ sin(x_i x_{{i+d}}) / d, n = {size:,}, k = {k}, above that with x:")
    if isinstance(found, str):
        console.print(f"  not run, {found}\n")
        return
    for name, held in found.items():
        console.print(f"  {name:42}{held / 1e6:9.1f} MB {held / band:7.2f} bands {held / (8 * size):7.1f} x")
    console.print(f"  {'the band':42}{band / 1e6:9.1f} MB\n")


def fresh(threads: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """The function's result from a process of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=limit, initargs=(threads,)) as pool:
        return pool.submit(function, *arguments).result()


def limit(threads: int) -> None:
    """Hold PyTorch, and by the cores what else there is, to some threads; before JAX is imported."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    if threads == 1:
        os.environ["OMP_NUM_THREADS"] = "1"
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())
    versions = []
    for name in ("torch", "jax", "asdex", "casadi"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            versions.append(f"no {name}")
    return f"{model}, {torch.get_num_threads()} thread(s), {', '.join(versions)}, Python {platform.python_version()}"


def compare_all(arguments: argparse.Namespace) -> None:
    sizes = {"cartpole": arguments.sizes or CARTPOLE_SIZES, "band": arguments.sizes or BAND_SIZES}
    bandwidths = {"cartpole": [6], "band": arguments.bandwidths}
    measured: dict[int, dict[str, float]] = {}
    bandwidth = 0.0
    for family in (name for name in sizes if name in arguments.only):
        for n, k in itertools.product(sizes[family], bandwidths[family]):
            bandwidth = max(bandwidth, bandwidth_of_memory())  # other work on the machine can but lower it
            try:
                seconds = fresh(arguments.threads, compare, family, n, k, arguments.repeat, bandwidth)
            except BrokenProcessPool:
                console.print(f"{family}, n = {n:,}, k = {k}: the process died, perhaps for want of memory\n")
                continue
            if family == "cartpole":
                measured[n] = seconds
    if lines := list(exponents(measured)):
        console.print("time against n, cart-pole", *lines, "", sep="\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=SECTIONS, help="what to measure")
    parser.add_argument("--sizes", nargs="+", type=int, help="unknowns, of both families")
    parser.add_argument("--bandwidths", nargs="+", type=int, default=BANDWIDTHS, help="k of the second family")
    parser.add_argument("--planning-size", type=int, default=100_000)
    parser.add_argument("--memory-size", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5, help="turns of each way, the fastest counts")
    parser.add_argument("--threads", type=int, default=1, help="threads, and cores to run on")
    parser.add_argument("--quick", action="store_true", help="small sizes, two turns: does it run?")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.bandwidths, arguments.repeat = [500], [4], 2
        arguments.planning_size, arguments.memory_size = 2_000, 10_000
    return arguments


def main() -> None:
    arguments = parse()
    limit(arguments.threads)
    console.print(machine())
    compare_all(arguments)
    if "planning" in arguments.only:
        planning(arguments.planning_size, arguments.threads)
    if "memory" in arguments.only:
        memory(arguments.memory_size, arguments.threads)


if __name__ == "__main__":
    main()
