"""What callers see who are compiled themselves."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def outside_graphs(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Run as it stands where the caller is compiled: the caller's graph ends before, and goes on behind."""
    aside: Callable[Arguments, Returned] = torch.compiler.disable(function)  # type: ignore[no-untyped-call]

    @functools.wraps(function)
    def call(*arguments: Arguments.args, **named: Arguments.kwargs) -> Returned:
        if torch.compiler.is_compiling():
            return aside(*arguments, **named)
        return function(*arguments, **named)

    return call
