"""Classic problems of optimal control, each with its source, its data and, where one is known, its optimum."""

from collections.abc import Callable

from banded.control import ControlProblem
from banded.problems.trajectories.acrobot import acrobot as acrobot
from banded.problems.trajectories.block_move import block_move as block_move
from banded.problems.trajectories.brachistochrone import brachistochrone as brachistochrone
from banded.problems.trajectories.bryson_denham import breakwell as breakwell
from banded.problems.trajectories.bryson_denham import bryson_denham as bryson_denham
from banded.problems.trajectories.goddard import goddard as goddard
from banded.problems.trajectories.hanging_chain import hanging_chain as hanging_chain
from banded.problems.trajectories.hypersensitive import hypersensitive as hypersensitive
from banded.problems.trajectories.least_time import least_time as least_time
from banded.problems.trajectories.parking import parking as parking
from banded.problems.trajectories.quadrotor import quadrotor as quadrotor
from banded.problems.trajectories.raceline import raceline as raceline
from banded.problems.trajectories.steering import steering as steering
from banded.problems.trajectories.swingup import swingup as swingup
from banded.problems.trajectories.van_der_pol import van_der_pol as van_der_pol

CONTROL_PROBLEMS: dict[str, Callable[..., ControlProblem]] = {
    "swingup": swingup,
    "block_move": block_move,
    "least_time": least_time,
    "brachistochrone": brachistochrone,
    "bryson_denham": bryson_denham,
    "breakwell": breakwell,
    "van_der_pol": van_der_pol,
    "goddard": goddard,
    "steering": steering,
    "hanging_chain": hanging_chain,
    "hypersensitive": hypersensitive,
    "parking": parking,
    "quadrotor": quadrotor,
    "acrobot": acrobot,
}
