"""Minimisation: direction, line search, Newton's method, multipliers."""

from banded.optimize.conditions import Conditions as Conditions
from banded.optimize.conditions import Multipliers as Multipliers
from banded.optimize.constrained_plan import plan_constrained as plan_constrained
from banded.optimize.drawing import convergence as convergence
from banded.optimize.line_search import LineSearch as LineSearch
from banded.optimize.minimize import least_squares as least_squares
from banded.optimize.minimize import minimize as minimize
from banded.optimize.optimizer import Newton as Newton
from banded.optimize.result import Record as Record
from banded.optimize.result import Result as Result
from banded.optimize.result import Results as Results
from banded.optimize.result import Status as Status
from banded.optimize.trust_region import TrustRegion as TrustRegion
