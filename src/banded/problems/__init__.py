"""Classic problems by name, each from a number of nodes."""

from collections.abc import Callable

from banded.problems.cartpole import cartpole as cartpole
from banded.problems.chain import chain as chain
from banded.problems.problem import Problem as Problem
from banded.problems.problem import unknowns as unknowns
from banded.problems.rosenbrock import rosenbrock as rosenbrock

PROBLEMS: dict[str, Callable[..., Problem]] = {"cartpole": cartpole, "chain": chain, "rosenbrock": rosenbrock}
