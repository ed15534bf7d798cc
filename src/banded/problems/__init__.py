"""Classic problems by name, each from a number of nodes."""

from collections.abc import Callable

from banded.problems.cartpole import cartpole as cartpole
from banded.problems.chain import chain as chain
from banded.problems.cutest import bdqrtic as bdqrtic
from banded.problems.cutest import broydn3dls as broydn3dls
from banded.problems.cutest import curly10 as curly10
from banded.problems.cutest import dixon3dq as dixon3dq
from banded.problems.cutest import engval1 as engval1
from banded.problems.cutest import genrose as genrose
from banded.problems.cutest import liarwhd as liarwhd
from banded.problems.cutest import tridia as tridia
from banded.problems.dixmaan import FAMILY
from banded.problems.dixmaan import dixmaan as dixmaan
from banded.problems.problem import Problem as Problem
from banded.problems.problem import unknowns as unknowns
from banded.problems.rosenbrock import rosenbrock as rosenbrock

PROBLEMS: dict[str, Callable[..., Problem]] = {
    "cartpole": cartpole,
    "chain": chain,
    "rosenbrock": rosenbrock,
    "bdqrtic": bdqrtic,
    "broydn3dls": broydn3dls,
    "curly10": curly10,
    "dixon3dq": dixon3dq,
    "engval1": engval1,
    "genrose": genrose,
    "liarwhd": liarwhd,
    "tridia": tridia,
    **FAMILY,
}
