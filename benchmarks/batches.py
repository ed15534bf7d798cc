"""Throughput of batched minimisation: 1,000 pendulums swung up, at once and in a Python loop over single solves.

    python benchmarks/batches.py [--problems 1000] [--nodes 100] [--repeat 3] [--quick]

Each problem has an initial state of its own, given by `args`. The loop is given the bandwidth: plans are cheap;
"plan given" leaves their time out on both sides. All must end at the same values. Fastest of several turns.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from extraction import machine
from rich.console import Console
from rich.table import Table
from torch import Tensor

import banded

STEP = 0.03  # seconds
TARGET = 20.0  # times the throughput of the loop
console = Console(width=150, highlight=False)


def effort(angle: Tensor, start: Tensor) -> Tensor:
    """The torque that a pendulum takes along `angle` `(nodes,)` from `start` `(2,)`, and how it misses the top."""
    whole = torch.cat([start, angle])
    middle = whole[1:-1]
    speed = (whole[2:] - whole[:-2]) / (2 * STEP)
    torque = (whole[2:] - 2 * middle + whole[:-2]) / STEP**2 + 9.81 * middle.sin() + 0.1 * speed
    miss = (whole[-1] - math.pi) ** 2 + ((whole[-1] - whole[-2]) / STEP) ** 2
    return STEP * torque.square().sum() + 100 * miss


def fastest(call: Callable[[], Any], repeat: int) -> tuple[float, Any]:
    """Seconds of the fastest of some turns, after one to warm up, and what it returned."""
    result, times = call(), []
    for _ in range(repeat):
        begun = time.perf_counter()
        result = call()
        times.append(time.perf_counter() - begun)
    return min(times), result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=1000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="40 problems, once")
    options = parser.parse_args()
    B, repeat = (40, 1) if options.quick else (options.problems, options.repeat)
    generator = torch.Generator().manual_seed(0)
    angle = 0.5 * torch.randn(B, generator=generator, dtype=torch.float64)
    speed = torch.randn(B, generator=generator, dtype=torch.float64)
    starts = torch.stack([angle, angle + STEP * speed], 1)
    guesses = angle[:, None] + (math.pi - angle)[:, None] * torch.linspace(0, 1, options.nodes, dtype=torch.float64)
    few = range(0, B, max(1, B // 50))  # of the loop, which takes as long for each

    def one(i: int) -> Any:
        return banded.minimize(effort, guesses[i], args=(starts[i],), bandwidth=2)

    console.print(machine())
    together, results = fastest(lambda: banded.minimize(effort, guesses, args=(starts,), batch_dims=1), repeat)
    alone, singles = fastest(lambda: [one(i) for i in few], repeat)
    for i, single in zip(few, singles, strict=True):
        if not math.isclose(single.value, results[i].value, rel_tol=1e-8):
            raise SystemExit(f"problem {i}: {single.value} alone, {results[i].value} in the batch")
    plans = sum(single.profile["plan"] for single in singles)
    table = Table("ms a problem", "at once", "one by one", "times as fast", box=None)
    for name, batch, loop in (
        ("in all", together / B, alone / len(few)),
        ("plan given", (together - results.profile["plan"]) / B, (alone - plans) / len(few)),
    ):
        mark = "" if loop / batch >= TARGET or options.quick else "!"
        table.add_row(name, f"{batch * 1e3:.3f}", f"{loop * 1e3:.2f}", f"{loop / batch:.1f}{mark}")
    console.print(table)
    console.print(results, {name: round(seconds, 3) for name, seconds in results.profile.items()})
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
