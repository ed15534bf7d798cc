"""Whether autograd sees what functions of one node depend on."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    from banded.control.functions import NodeFunction

Function = Callable[[Tensor], Tensor]
STEP = 1e-3  # of differences, beside 1 + the size of an argument
AGREED = 1e-2  # of a change: where differences and derivatives are farther apart than that, they are not the same
DOUBTED = 1e-4  # of all changes together, from where on each of them is looked at
AWAY = 0.05  # from where functions are tried, likewise: kinks and zeros are there
SEEN = 1e-8  # a change of a function that is no rounding, beside 1 + its size


WAY_OUT = "keep to torch operations: .detach(), .item(), float(), torch.tensor(), math and NumPy lose derivatives"


class Variables(NamedTuple):
    """Some arguments.

    Attributes:
        names: `(k,)`.
        point: `(k,)`: where functions were tried.
        lower, upper: `(k,)`: bounds; equal for what is given.
    """

    names: Sequence[str]
    point: Tensor
    lower: Tensor
    upper: Tensor

    def near(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """`(k,)` each: a point like any other within the bounds, and its size; that of what is given is 0."""
        size = 1 + self.point.abs()
        away = AWAY * size * torch.randn(len(size), dtype=size.dtype, generator=generator)
        inward = torch.where((self.point + away < self.lower) | (self.point + away > self.upper), -away, away)
        return (self.point + inward).clamp(self.lower, self.upper), torch.where(self.lower < self.upper, size, 0)


class Lost(NamedTuple):
    """A derivative that autograd gets wrong.

    Attributes:
        output, argument: their numbers.
        known: what autograd says.
        found: what differences say.
    """

    output: int
    argument: int
    known: float
    found: float


def check_derivatives(function: NodeFunction, outputs: Sequence[str], variables: Sequence[Variables]) -> None:
    """Autograd must know how a function depends on its arguments.

    It is looked at near the variables' points: five evaluations and a gradient, if all is well.

    Args:
        function: of one node.
        outputs: names of what it returns, or none where it is a scalar.
        variables: its leading arguments, and then t and p.

    Raises:
        TypeError: if it does not; says which output depends on what.
        ValueError: if the function is random.
    """
    away = torch.Generator().manual_seed(1)
    z, size = (torch.cat(one) for one in zip(*(one.near(away) for one in variables), strict=True))
    lengths = [len(one.point) for one in variables]

    def f(z: Tensor) -> Tensor:
        *leading, t, p = torch.split(z, lengths)
        return function(*leading, t=t[0], p=p).reshape(-1)

    if _varies(f, z):
        raise ValueError(
            f"{function.name}: expected a function that returns the same for the same arguments, got one that does "
            "not; draw what is random before, and call module.eval() where there is dropout"
        )
    try:
        found = lost(f, z, size)
    except RuntimeError as error:
        raise TypeError(
            f"{function.name}: expected a function that autograd can follow, got RuntimeError: {error}; {WAY_OUT}"
        ) from error
    if found is not None:
        names = [name for one in variables for name in one.names]
        which = f" of {outputs[found.output]}" if len(outputs) else ""
        raise TypeError(
            f"{function.name}: expected the derivative{which} by {names[found.argument]} to be about "
            f"{found.found:.3g}, as differences say, got {found.known:.3g} from autograd; {WAY_OUT}"
        )


def lost(f: Function, z: Tensor, size: Tensor) -> Lost | None:
    """The first derivative of f `(na,) -> (ny,)` at z that is not what differences say it is; None if all are.

    The change along a random direction tells whether there is any. Only where that is doubted, entry after entry is
    looked at. Of kinks and jumps near z, and where f is not finite or fails, nothing is said.

    Args:
        f: of a vector.
        z: `(na,)`.
        size: `(na,)`, of the arguments, 0 for those that do not matter.

    Raises:
        RuntimeError: if f works, but not where autograd follows it.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode(mode=False), torch.enable_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of float(x), which is what is looked for
        z, step = z.clone(), STEP * size * torch.randn(len(z), dtype=z.dtype, generator=generator)
        try:
            change, values = _change(f, z, step), f(z.clone()).detach()
        except Exception:  # of the user's function, away from where it has to work
            return None
        usual = (change + values).isfinite()
        weights = (torch.randn(len(change), dtype=z.dtype, generator=generator) / _scale(change, values))[usual]
        gradient = _gradient(f, z, lambda outputs: (weights * outputs[usual]).sum())
        if not float(((gradient * step).sum() - (weights * change[usual]).sum()).abs()) > DOUBTED:
            return None
        return next(_entries(f, z, values, STEP * size), None)


def _varies(f: Function, z: Tensor) -> bool:
    """Whether f is another one each time."""
    with torch.no_grad():
        try:
            first, second = f(z.clone()), f(z.clone())
        except Exception:  # as in `lost`
            return False
    return bool(((first - second).abs() > SEEN * (1 + first.abs())).any())


def _change(f: Function, z: Tensor, step: Tensor) -> Tensor:
    """`(ny,)`: half of that from z - step to z + step."""
    return (f(z + step) - f(z - step)).detach() / 2


def _scale(change: Tensor, values: Tensor) -> Tensor:
    """What of a change counts."""
    return torch.maximum(change.abs(), SEEN / AGREED * (1 + values.abs()))


def _gradient(f: Function, z: Tensor, scalar: Function) -> Tensor:
    """`(na,)`: of a scalar of the outputs, zero where autograd sees nothing."""
    leaf = z.clone().requires_grad_()
    value = scalar(f(leaf.clone()))
    found = torch.autograd.grad(value, leaf, allow_unused=True)[0] if value.requires_grad else None
    return torch.zeros_like(z) if found is None else found


def _entries(f: Function, z: Tensor, values: Tensor, steps: Tensor) -> Iterator[Lost]:
    """Those that two steps agree upon, and autograd does not."""
    known = torch.stack([_gradient(f, z, itemgetter(i)) for i in range(len(values))])
    for argument, step in enumerate(torch.diag(steps)):
        long, short = _change(f, z, step), 10 * _change(f, z, step / 10)
        told = known[:, argument] * step[argument]
        allowed = AGREED * _scale(torch.maximum(told.abs(), long.abs()), values)
        wrong = ((told - long).abs() > allowed) & ((long - short).abs() < allowed / 10)
        for output in wrong.nonzero()[:, 0].tolist():
            yield Lost(output, argument, float(known[output, argument]), float(long[output] / step[argument]))
