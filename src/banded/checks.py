"""Checks of what comes in from outside, each written once."""

from operator import index

import torch
from torch import Tensor

from banded.compiling import outside_graphs
from banded.errors import NonFiniteError


def check_unknowns(x: object, name: str = "x") -> None:
    """`x` must be a non-empty float32 or float64 tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{name}: expected a tensor, got {type(x).__name__}; torch.as_tensor({name}, dtype=torch.float64) makes one"
        )
    if x.dtype not in (torch.float32, torch.float64):
        way_out = f"torch.view_as_real({name}) makes real unknowns" if x.dtype.is_complex else f"pass {name}.double()"
        raise TypeError(f"{name}: expected dtype float32 or float64, got {_name(x.dtype)}; {way_out}")
    if x.numel() == 0:
        raise ValueError(f"{name}: expected at least one unknown, got an empty tensor of shape {tuple(x.shape)}")


def check_value(value: object, x: Tensor) -> None:
    """`value`, which f returned at `x` `(..., n)`, must be real scalars `(...)` on the device of `x`."""
    if not isinstance(value, Tensor):
        raise TypeError(
            f"f: expected a scalar tensor, got {type(value).__name__}; "
            "compute the loss with torch operations and do not call .item() or float()"
        )
    if value.shape != x.shape[:-1]:
        raise ValueError(
            f"f: expected a scalar of shape (), got shape {tuple(value.shape[x.ndim - 1 :])}; "
            "reduce it, for example with .sum()"
        )
    if not value.dtype.is_floating_point:
        raise TypeError(
            f"f: expected a real floating-point scalar, got {_name(value.dtype)}; "
            "take .real or .abs() where complex numbers are used on the way"
        )
    if value.requires_grad:
        check_precision("f", value, x)
    if value.device != x.device:
        raise ValueError(
            f"f: expected a value on {x.device}, where x is, got one on {value.device}; "
            "move x and every tensor that f uses to one device"
        )


def check_precision(name: str, value: Tensor, x: Tensor) -> None:
    """`value` must not be of a lower precision than `x`."""
    if torch.finfo(value.dtype).eps > torch.finfo(x.dtype).eps:
        raise TypeError(
            f"{name}: expected {_name(x.dtype)} like x, got {_name(value.dtype)}, too coarse for exact derivatives; "
            f"make the constants and modules that {name} uses {_name(x.dtype)} (module.double()), or pass x.float()"
        )


def check_operand(name: str, b: object, like: Tensor, shape: torch.Size) -> None:
    """`b` must be a vector of `shape`, `(..., n)`, or columns `(..., n, m)`, with the dtype and device of `like`."""
    wanted = ", ".join(map(str, shape))
    vector = f"({wanted},)" if len(shape) == 1 else f"({wanted})"
    if not isinstance(b, Tensor):
        raise TypeError(f"{name}: expected a tensor of shape {vector} or ({wanted}, m), got {type(b).__name__}")
    if b.ndim not in (len(shape), len(shape) + 1) or b.shape[: len(shape)] != shape:
        hint = f"; pass {name}.reshape({', '.join(map(str, shape)) if shape[:-1] else -1})" * (
            b.numel() == shape.numel()
        )
        raise ValueError(f"{name}: expected shape {vector} or ({wanted}, m), got {tuple(b.shape)}{hint}")
    if b.dtype != like.dtype or b.device != like.device:
        raise ValueError(
            f"{name}: expected {like.dtype} on {like.device} like the matrix, got {b.dtype} on {b.device}; "
            f"convert it with {name}.to(...)"
        )


@outside_graphs
def concrete(tensor: Tensor) -> Tensor:
    """What a tensor holds, to be looked at but not computed with: under vmap, of all its problems at once."""
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return tensor


def check_function(name: str, f: object) -> None:
    """`f` must be callable."""
    if not callable(f):
        raise TypeError(f"{name}: expected a function of the unknowns, got {type(f).__name__}")


def check_whole(name: str, number: object) -> int:
    """`number` must be a whole number of any type, as NumPy's; it is returned as an int."""
    try:
        if not isinstance(number, bool):
            return index(number)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise TypeError(f"{name}: expected a whole number, got {number!r}")


def check_type(name: str, one: object, wanted: type) -> None:
    """`one` must be of a type."""
    if not isinstance(one, wanted):
        raise TypeError(f"{name}: expected a {wanted.__name__}, got {type(one).__name__}")


def check_tensor(name: str, one: object) -> None:
    """`one` must be a tensor."""
    if not isinstance(one, Tensor):
        raise TypeError(f"{name}: expected a tensor, got {type(one).__name__}; torch.as_tensor({name}) makes one")


def check_bandwidth(bandwidth: object, n: int) -> int:
    """`bandwidth` must be a whole number from 0 to n - 1; it is returned as an int."""
    k = check_whole("bandwidth", bandwidth)
    if not 0 <= k < n:
        raise ValueError(f"bandwidth: expected 0 <= bandwidth <= n - 1 = {n - 1} for n = {n} unknowns, got {k}")
    return k


def check_finite(value: Tensor, gradient: Tensor, problem: int | None = None) -> None:
    """A value and a gradient, in the shape of x, must be finite; of a batch, that of the problem of that number."""
    where = "" if problem is None else f" of problem {problem} of the batch"
    bad = (~torch.isfinite(gradient)).nonzero()
    if len(bad):
        index = tuple(bad[0].tolist())
        at = index[0] if len(index) == 1 else index
        raise NonFiniteError(
            f"f: expected a finite value and gradient{where}, got value {value.item():.6g} and gradient[{at}] = "
            f"{gradient[index].item()} ({len(bad)} of {gradient.numel()} entries are not finite); "
            "look for log, sqrt, division or exp at the edge of their domain, or start elsewhere"
        )
    if not torch.isfinite(value):
        raise NonFiniteError(
            f"f: expected a finite value{where}, got {value.item()} (its gradient is finite); start where f is finite"
        )


def check_curvature(product: Tensor) -> None:
    """The Hessian times a random vector, `(n,)`, must be finite."""
    bad = (~torch.isfinite(product)).nonzero()
    if len(bad):
        raise NonFiniteError(
            f"f: expected finite second derivatives, got {product[bad[0]].item()} in row {int(bad[0])} of the Hessian "
            f"({len(bad)} of {len(product)} rows), where value and gradient are finite; look for sqrt, norm, division "
            "or a power at the edge of its domain, and add a small positive number inside, or start elsewhere"
        )


def check_residuals(residual: object, x: Tensor, name: str) -> None:
    """What a function of residuals returned at `x` must be a non-empty, real tensor on its device."""
    if not isinstance(residual, Tensor):
        raise TypeError(
            f"{name}: expected a tensor of residuals, got {type(residual).__name__}; torch.cat joins several"
        )
    if residual.numel() == 0:
        raise ValueError(f"{name}: expected at least one residual, got an empty tensor")
    if not residual.dtype.is_floating_point or residual.device != x.device:
        raise ValueError(
            f"{name}: expected real residuals on {x.device}, where x is, got {residual.dtype} on {residual.device}"
        )
    check_precision(name, residual, x)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
