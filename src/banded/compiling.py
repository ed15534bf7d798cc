"""What callers see who are compiled themselves."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")

_ASIDE: dict[Callable[..., Any], Callable[..., Any]] = {}


def outside_graphs(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Run as it stands where the caller is compiled: the caller's graph ends before, and goes on behind."""

    @functools.wraps(function)
    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> Returned:
        if not torch.compiler.is_compiling():
            return function(*arguments, **named)
        if function not in _ASIDE:  # not before: it loads PyTorch's compiler, which takes a second
            _ASIDE[function] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]
        result: Returned = _ASIDE[function](*arguments, **named)
        return result

    return call
