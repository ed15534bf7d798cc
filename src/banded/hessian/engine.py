"""Which of the ways to compute products runs for a function: chosen by trying."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from banded.hessian.products import Engine, Function, batched, compiled, loop


@dataclass(frozen=True)
class Choice:
    """An engine, its name and why it."""

    name: str
    reason: str
    run: Engine


def eager_engine(f: Function, x: Tensor) -> Choice:
    """The vectorised engine where it runs, the loop where it does not."""
    try:
        batched(f)(x.reshape(-1), torch.ones(2, x.numel(), dtype=x.dtype, device=x.device))
    except RuntimeError as error:
        return Choice("loop", f"the vectorised pass failed: {_first_line(error)}", loop(f))
    return Choice("batched", "vectorised double backward", _with_fallback(batched(f), loop(f)))


def _with_fallback(fast: Engine, slow: Engine) -> Engine:
    """`fast` where it works, which may depend on the branch that f takes at a point."""

    def engine(x: Tensor, probes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        try:
            return fast(x, probes)
        except RuntimeError:
            return slow(x, probes)  # an error of f itself comes again here

    return engine


def compiled_engine(f: Function, x: Tensor, probes: Tensor, fallback: Callable[[], Choice]) -> Choice:
    """The whole product compiled where that works, what `fallback` gives, with a warning, where it does not."""
    try:
        run = compiled(f)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # PyTorch's own, about its internals
            run(x.reshape(-1), probes)
    except Exception as error:  # whatever the compiler met, the eager engine works
        reason = f"compiling failed: {_first_line(error)}"
        other = fallback()
        warnings.warn(f"banded: {reason}; continuing with the {other.name} engine", RuntimeWarning, stacklevel=5)
        return replace(other, reason=reason)
    return Choice("compiled", "the whole product in one graph", run)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
