"""Newton's method as a `torch.optim.Optimizer`, for loops that are written as for training."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor

from banded.checks import check_function, check_whole
from banded.compiling import outside_graphs
from banded.errors import BandedError
from banded.hessian import Layout, Plan, layout
from banded.hessian import plan as make_plan
from banded.hessian.products import OfLeaves
from banded.optimize.dialogue import OfPlan, iterates
from banded.optimize.limits import Limits
from banded.optimize.newton import Globalisation
from banded.optimize.newton import Newton as Algorithm
from banded.optimize.result import Status
from banded.optimize.settings import globalisation_of
from banded.optimize.workspace import Workspace


class Newton(torch.optim.Optimizer):
    """Newton's method on the banded Hessian of a closure, as `torch.optim.LBFGS` is used.

        optimizer = banded.Newton([x])
        for _ in range(20):
            loss = optimizer.step(closure)

    The closure computes the loss of the parameters and returns it; it may call `zero_grad` and `backward`, and need
    not. Structure is found at the first step and kept, as are the settings of the search. After a step, `p.grad` holds
    the gradient where the parameters are then.

    Args:
        params: tensors, float32 or float64: chained along their first dimensions, as the leaves of `plan`'s pytrees.
        bandwidth: half-bandwidth of the Hessian; found if None.
        border: parameters that couple to everything, by position; for a single parameter entries, by number.
        method: recovery of the band, as in `plan`.
        globalisation: as in `minimize`.
        tolerance: as in `minimize`; within it, steps do nothing more.
        max_iterations: Newton steps in one call of `step`.

    Attributes:
        status: why the last call of `step` did not go on, or None where it would have.

    Raises:
        ValueError: for more than one group of parameters.
    """

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        bandwidth: int | None = None,
        border: Sequence[int] | None = None,
        method: str = "auto",
        globalisation: str | Globalisation = "line search",
        tolerance: float = 1e-8,
        max_iterations: int = 1,
    ) -> None:
        Limits(tolerance, check_whole("max_iterations", max_iterations), None)
        super().__init__(params, {"tolerance": tolerance, "max_iterations": max_iterations})
        if len(self.param_groups) != 1:
            raise ValueError(f"params: expected one group of parameters, got {len(self.param_groups)}")
        self._parameters: list[Tensor] = self.param_groups[0]["params"]
        if not all(one.requires_grad for one in self._parameters):
            raise ValueError("params: expected tensors that require gradients, got one that does not; leave it out")
        self._make = partial(make_plan, bandwidth=bandwidth, border=border, method=method)
        self._globalisation = globalisation_of(globalisation)
        with _own_words():
            self._layout = layout(self._tree(), border, 0)
        self._function = _OfClosure(self._parameters, self._layout)
        self._plan: Plan | None = None
        self._checked = False  # whether the plan is older than this step
        self.status: Status | None = None

    @outside_graphs
    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]  # there is no step without one
        """Newton steps from where the parameters are.

        Args:
            closure: computes and returns the loss.

        Returns:
            The loss before the step, without a graph.

        Raises:
            NonFiniteError, BandwidthError, RecoveryError: as `minimize`.
        """
        check_function("closure", closure)
        group = self.param_groups[0]
        with torch.inference_mode(False):
            x = self._layout.flatten(self._tree()).detach().clone()
            function = self._function
            function.closure = closure
            with _own_words(), function.restoring(x):
                if self._plan is None:
                    self._plan = self._make(function, self._layout.unflatten(x))
                workspace = self._at(self._plan, x, function)
                loss = workspace.here.value[0].clone()
                (start,) = workspace.starts()
                run = Algorithm(self._globalisation, group["tolerance"], torch.finfo(x.dtype).eps).run(start)
                for number, iterate in enumerate(iterates(workspace, run)):
                    self.status = iterate.status
                    if number >= group["max_iterations"]:
                        break
                function.result = workspace.here.x[0]
                if self.status is not None and self._plan.leak(workspace.here.x[0], workspace.here.matrix(0)):
                    self.status, self._plan = Status.BANDWIDTH, None  # found anew at the next step
        self._write_gradients(workspace.here.gradient[0])
        return loss

    def _at(self, plan: Plan, x: Tensor, function: _OfClosure) -> Workspace:
        """Where the parameters are: the loss may be another one than at the last step, with another structure."""
        workspace = Workspace.at(OfPlan(plan), x[None])
        if self._checked and plan.leak(x, workspace.here.matrix(0)):
            self._plan = self._make(function, self._layout.unflatten(x))
            workspace = Workspace.at(OfPlan(self._plan), x[None])
        self._checked = True
        return workspace

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """One group there is, and no other."""
        if self.param_groups:
            raise ValueError("params: expected one group of parameters, got 2")
        super().add_param_group(param_group)

    def _write_gradients(self, gradient: Tensor) -> None:
        tree = self._layout.unflatten(gradient.clone())
        for parameter, part in zip(self._parameters, (tree,) if self._layout.is_tensor else tree, strict=True):
            parameter.grad = part.clone()

    def _tree(self) -> Any:
        leaves = tuple(one.detach() for one in self._parameters)
        return leaves[0] if len(leaves) == 1 else leaves


class _OfClosure(OfLeaves):
    """A closure as a function of the vector of its parameters, which it is written into."""

    closure: Callable[[], Tensor]

    def __init__(self, parameters: Sequence[Tensor], where: Layout) -> None:
        self._parameters, self._layout = parameters, where
        self.result: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The loss at `x`."""
        self._write(x)
        with torch.enable_grad():  # which a closure that calls backward needs
            return self._loss().detach()

    def open(self, x: Tensor) -> tuple[Sequence[Tensor], Tensor]:
        """The parameters, holding `x`, and the loss there."""
        self._write(x)
        return self._parameters, self._loss()

    @contextmanager
    def restoring(self, x: Tensor) -> Iterator[None]:
        """Write `result` at the end, or `x`, should there be none."""
        self.result = None
        try:
            yield
        finally:
            self._write(x if self.result is None else self.result)

    def _loss(self) -> Tensor:
        """What the closure returns, with its graph even where it calls backward."""
        with _keeping_graphs():
            loss = self.closure()
        if not isinstance(loss, Tensor):
            raise TypeError(f"closure: expected it to return the loss, a tensor, got {type(loss).__name__}")
        return loss

    def _write(self, x: Tensor) -> None:
        tree = self._layout.unflatten(x)
        with torch.no_grad():
            for parameter, part in zip(self._parameters, (tree,) if self._layout.is_tensor else tree, strict=True):
                parameter.copy_(part)


@contextmanager
def _own_words() -> Iterator[None]:
    """Errors speak of the closure and the parameters, not of a function f of x."""
    try:
        yield
    except (BandedError, TypeError, ValueError) as error:
        if error.args and isinstance(error.args[0], str):
            text = re.sub(r"^x(?:\.(\d+))?:", lambda match: f"params[{match[1] or 0}]:", error.args[0])
            text = re.sub(r"(?<= like )x\.(\d+)", r"params[\1]", text)
            text = text.replace("let f use its argument", "let it use the parameters")
            error.args = (re.sub(r"^f:", "closure:", text), *error.args[1:])
        raise


@contextmanager
def _keeping_graphs() -> Iterator[None]:
    """`backward` retains the graph, for the second derivatives."""
    plain = torch.autograd.backward

    def backward(tensors: Any, gradients: Any = None, retain_graph: Any = None, *rest: Any, **named: Any) -> None:
        plain(tensors, gradients, True, *rest, **named)

    torch.autograd.backward = backward  # type: ignore[assignment]  # which Tensor.backward calls, too
    try:
        yield
    finally:
        torch.autograd.backward = plain
