"""Optimal control: from dynamics and a cost to a trajectory."""

from banded.control.controller import Controller as Controller
from banded.control.phased import PhasedSolution as PhasedSolution
from banded.control.phased import PhasedSolutions as PhasedSolutions
from banded.control.phases import Phases as Phases
from banded.control.problem import ControlProblem as ControlProblem
from banded.control.schemes import Euler as Euler
from banded.control.schemes import HermiteSimpson as HermiteSimpson
from banded.control.schemes import Midpoint as Midpoint
from banded.control.schemes import RungeKutta as RungeKutta
from banded.control.schemes import Scheme as Scheme
from banded.control.schemes import Trapezoidal as Trapezoidal
from banded.control.simulation import PhasedSimulation as PhasedSimulation
from banded.control.simulation import Simulation as Simulation
from banded.control.solution import Solution as Solution
from banded.control.solutions import Solutions as Solutions
