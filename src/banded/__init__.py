"""Exact banded Hessians of PyTorch functions, and Newton's method on them.

`minimize` finds a minimum, `hessian` a Hessian, `plan` how to evaluate it often, and `verify` how exact that is;
a `ControlProblem` is what a trajectory is found for;
`SymmetricBanded` and its kin are the matrices, `Problem` what the command `banded solve` takes.
"""

from importlib.metadata import version

from banded.control import (
    Controller,
    ControlProblem,
    Euler,
    HermiteSimpson,
    Midpoint,
    PhasedSimulation,
    PhasedSolution,
    PhasedSolutions,
    Phases,
    RungeKutta,
    Scheme,
    Simulation,
    Solution,
    Solutions,
    Trapezoidal,
)
from banded.errors import (
    BandedError,
    BandwidthError,
    FileFormatError,
    NonFiniteError,
    NotPositiveDefiniteError,
    RecoveryError,
    SingularError,
)
from banded.hessian import LagrangianPlan, Plan, Report, hessian, plan, verify
from banded.matrix import (
    Banded,
    BlockTridiagonal,
    Bordered,
    Matrix,
    Periodic,
    Reordered,
    Symmetric,
    SymmetricBanded,
)
from banded.optimize import (
    Conditions,
    LineSearch,
    Multipliers,
    Newton,
    Record,
    Result,
    Results,
    Status,
    TrustRegion,
    least_squares,
    minimize,
    plan_constrained,
)
from banded.problems import Problem

__version__ = version("banded")

__all__ = [
    "Banded",
    "BandedError",
    "BandwidthError",
    "BlockTridiagonal",
    "Bordered",
    "Conditions",
    "ControlProblem",
    "Controller",
    "Euler",
    "FileFormatError",
    "HermiteSimpson",
    "LagrangianPlan",
    "LineSearch",
    "Matrix",
    "Midpoint",
    "Multipliers",
    "Newton",
    "NonFiniteError",
    "NotPositiveDefiniteError",
    "Periodic",
    "PhasedSimulation",
    "PhasedSolution",
    "PhasedSolutions",
    "Phases",
    "Plan",
    "Problem",
    "Record",
    "RecoveryError",
    "Reordered",
    "Report",
    "Result",
    "Results",
    "RungeKutta",
    "Scheme",
    "Simulation",
    "SingularError",
    "Solution",
    "Solutions",
    "Status",
    "Symmetric",
    "SymmetricBanded",
    "Trapezoidal",
    "TrustRegion",
    "hessian",
    "least_squares",
    "minimize",
    "plan",
    "plan_constrained",
    "verify",
]
