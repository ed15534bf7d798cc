"""Classic problems by name, each from a number of nodes."""

from collections.abc import Callable

from banded.problems.bounded import chenhark as chenhark
from banded.problems.bounded import nonscomp as nonscomp
from banded.problems.bounded import pentdi as pentdi
from banded.problems.cartpole import cartpole as cartpole
from banded.problems.chain import chain as chain
from banded.problems.constrained import liswet1 as liswet1
from banded.problems.constrained import lukvle8 as lukvle8
from banded.problems.constrained import lukvli8 as lukvli8
from banded.problems.control import corkscrw as corkscrw
from banded.problems.control import dtoc1l as dtoc1l
from banded.problems.control import dtoc3 as dtoc3
from banded.problems.control import hager1 as hager1
from banded.problems.control import hager3 as hager3
from banded.problems.control import optcntrl as optcntrl
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
from banded.problems.hanging import hanging as hanging
from banded.problems.problem import Problem as Problem
from banded.problems.problem import unknowns as unknowns
from banded.problems.rosenbrock import rosenbrock as rosenbrock
from banded.problems.trajectories import CONTROL_PROBLEMS as CONTROL_PROBLEMS
from banded.problems.trajectories import acrobot as acrobot
from banded.problems.trajectories import block_move as block_move
from banded.problems.trajectories import brachistochrone as brachistochrone
from banded.problems.trajectories import breakwell as breakwell
from banded.problems.trajectories import bryson_denham as bryson_denham
from banded.problems.trajectories import goddard as goddard
from banded.problems.trajectories import hanging_chain as hanging_chain
from banded.problems.trajectories import hypersensitive as hypersensitive
from banded.problems.trajectories import least_time as least_time
from banded.problems.trajectories import parking as parking
from banded.problems.trajectories import quadrotor as quadrotor
from banded.problems.trajectories import raceline as raceline
from banded.problems.trajectories import steering as steering
from banded.problems.trajectories import swingup as swingup
from banded.problems.trajectories import van_der_pol as van_der_pol

PROBLEMS: dict[str, Callable[..., Problem]] = {
    "cartpole": cartpole,
    "chain": chain,
    "rosenbrock": rosenbrock,
    "hanging": hanging,
    "bdqrtic": bdqrtic,
    "broydn3dls": broydn3dls,
    "curly10": curly10,
    "dixon3dq": dixon3dq,
    "engval1": engval1,
    "genrose": genrose,
    "liarwhd": liarwhd,
    "tridia": tridia,
    "pentdi": pentdi,
    "nonscomp": nonscomp,
    "chenhark": chenhark,
    "liswet1": liswet1,
    "lukvle8": lukvle8,
    "lukvli8": lukvli8,
    "hager1": hager1,
    "hager3": hager3,
    "dtoc3": dtoc3,
    "dtoc1l": dtoc1l,
    "corkscrw": corkscrw,
    "optcntrl": optcntrl,
    **FAMILY,
}
