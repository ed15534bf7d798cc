"""Which of the ways to compute products runs for a function: chosen by trying."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banded.hessian.compiled import compile_value, compiled
from banded.hessian.data import AnyFunction
from banded.hessian.memory import peak_bytes
from banded.hessian.products import Engine, Function, batched, loop, over_batch, replicated, value_of

TANGENTS = 2**17  # entries of the vectors in one vectorised pass, beyond which it gains nothing over the loop


@dataclass(frozen=True)
class Choice:
    """An engine, its name and why it; f alone; and whether f takes a batch at once."""

    name: str
    reason: str
    run: Engine
    value: Function
    vectorised: bool = True


def choose(
    f: AnyFunction,
    x: Tensor,
    probes: Tensor,
    memory: int,
    compile: bool,
    eager: Callable[[], Choice] | None = None,
) -> Choice:
    """The engine for f, compiled or not; `eager` gives the one that is not."""
    eager = eager or (lambda: eager_engine(f, x, memory))
    return _compiled_engine(f, x, probes, eager) if compile else eager()


def eager_engine(f: AnyFunction, x: Tensor, memory: int) -> Choice:
    """The first of the vectorised engines that runs, or the loop.

    Args:
        f: takes one problem `(n,)` to `()`.
        x: `(..., n)`.
        memory: bytes that a vectorised pass may take, about.
    """
    dims = x.ndim - 1
    whole, how = _over_batch(f, x, dims)
    probes = torch.ones(2, x.shape[-1], dtype=x.dtype, device=x.device)
    slow, value = loop(whole), value_of(whole)
    reasons = []
    rows, why = _rows(slow, x, memory)
    for name, engine, reason in (
        ("batched", batched(whole, rows), f"vectorised double backward{why}"),
        ("replicated", replicated(whole), "copies of the problem"),
    ):
        try:
            engine(x, probes)
        except RuntimeError as error:
            reasons.append(f"{name} failed: {_first_line(error)}")
            continue
        return Choice(name, "; ".join([reason, *reasons]) + how, _with_fallback(engine, slow), value, not how)
    return Choice("loop", "; ".join(reasons) + how, slow, value, not how)


def _over_batch(f: AnyFunction, x: Tensor, dims: int) -> tuple[Function, str]:
    """Turn f into a function of a batch, vectorised where that works."""
    whole = over_batch(f, dims, vectorised=True)
    if dims:
        try:
            loop(whole)(x, torch.ones_like(x.reshape(-1, x.shape[-1])[:1]))
        except RuntimeError as error:
            return over_batch(f, dims, vectorised=False), f"; problems one by one: {_first_line(error)}"
    return whole, ""


def _rows(slow: Engine, x: Tensor, memory: int) -> tuple[int, str]:
    """How many probes fit into one pass."""
    rows = max(1, TANGENTS // x.numel())
    if rows == 1:
        return 1, ", one by one: n is large"
    one = x.new_ones(1, x.shape[-1])
    fit = max(1, memory // max(1, peak_bytes(lambda: slow(x, one))))
    return (rows, "") if rows <= fit else (fit, f", {fit} at a time to keep within {memory / 2**20:.0f} MiB")


def _with_fallback(fast: Engine, slow: Engine) -> Engine:
    """`fast` where it works, which may depend on the branch that f takes at a point."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        try:
            return fast(x, probes)
        except RuntimeError:
            return slow(x, probes)  # an error of f itself comes again here

    return engine


def _compiled_engine(f: AnyFunction, x: Tensor, probes: Tensor, fallback: Callable[[], Choice]) -> Choice:
    """The whole product compiled where that works, what `fallback` gives, with a warning, where it does not."""
    whole = over_batch(f, x.ndim - 1, vectorised=True)
    try:
        run, value = compiled(whole), value_of(compile_value(whole))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, about its internals
            run(x, probes)
    except Exception as error:  # whatever the compiler met, the eager engine works
        reason = f"compiling failed: {_first_line(error)}"
        other = fallback()
        warnings.warn(f"banded: {reason}; continuing with the {other.name} engine", RuntimeWarning, stacklevel=8)
        return replace(other, reason=reason)
    return Choice("compiled", "the whole product in one graph", run, value)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
