"""Solutions in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from banded.control.activity import NOTHING, Active, Findings, Span, findings, findings_of
from banded.control.labels import rounded
from banded.control.schemes import SCHEMES, Euler
from banded.optimize import Status

if TYPE_CHECKING:
    from banded.control.phased import PhasedSolution
    from banded.control.solution import Solution

SHOWN = 6  # of a kind
COARSE = 1e-3  # an error that more nodes would make smaller
MOST = 0.9  # of all errors
DEFAULT = "Try another guess: a rough trajectory in solve(guess={'x': ..., 'u': ...}), or a solution on a coarse grid."
ADVICE = {
    Status.CONVERGED: "solution.simulate() tells where these controls really lead.",
    Status.PRECISION: "It is as good as rounding allows. solution.simulate() tells where these controls really lead.",
    Status.MAX_ITERATIONS: "Go on with solve(guess=solution, max_iterations=...). " + DEFAULT,
    Status.MAX_SECONDS: "Go on with solve(guess=solution), with fewer nodes first, or compile=True.",
    Status.INFEASIBLE: (
        "Give it what it lacks: a longer or free duration, wider bounds, free entries (nan) in the last state. "
        "Where it should be possible, more nodes or another guess may do."
    ),
    Status.NON_FINITE: "Keep states and controls out of where functions are not finite, by bounds or a guess.",
    Status.LINE_SEARCH: "Look for kinks in dynamics and cost (abs, relu, clamp) and smooth them. " + DEFAULT,
    Status.UNBOUNDED: "Bound the controls and states, or a free duration; look for a sign error in the cost.",
    Status.STOPPED: "Go on with solve(guess=solution).",
    Status.INTERRUPTED: "Go on with solve(guess=solution).",
}


def summary(solution: Solution) -> str:
    """A few lines."""
    title = "" if solution.problem is None else solution.problem.title
    shared = [f"{name} {rounded(value)}" for name, value in _parameters(solution)]
    name = solution.status.name.lower().replace("_", " ")
    lines = [title] if title else []
    lines.append(f"{name}: {', '.join([f'cost {solution.cost:.8g}', f'duration {solution.duration:.6g}', *shared])}")
    lines.append(
        f"{len(solution.t)} nodes, {solution.scheme}, {solution.iterations} iterations, {solution.seconds:.3g} s; "
        + _quality(solution)
    )
    if solution.missed:
        lines.append(f"An accuracy of {solution.asked:.3g} was asked for, and is missed: {solution.missed}.")
    return "\n".join([*lines, *([] if solution.success else [solution.status.value])])


def explanation(solution: Solution) -> str:
    """All there is to say."""
    found = findings(solution)
    lines = [summary(solution)]
    lines += [solution.status.value] if solution.success else []
    if solution.status is Status.INFEASIBLE:
        lines += [] if found is None else _infeasible(found)
    else:
        lines += [*([] if found is None else _violations(found)), *_accuracy(solution)]
        if found is not None:
            lines += ["Active:", *_listed(found.active)] if found.active else ["No bound or path constraint is active."]
        lines += _costates(solution)
    return "\n".join([*lines, f"Next: {_advice(solution)}"])


def summary_of_phases(solution: PhasedSolution) -> str:
    """A few lines."""
    title = "" if solution.problem is None else solution.problem.title
    name = solution.status.name.lower().replace("_", " ")
    lines = [title] if title else []
    lines.append(
        f"{name}: cost {solution.cost:.8g}, duration {solution.duration:.6g}; {solution.iterations} iterations, "
        f"{solution.seconds:.3g} s"
    )
    for called, one in zip(solution.names, solution.phases, strict=True):
        shared = [f"{key} {rounded(value)}" for key, value in _parameters(one)]
        span = f"t = {rounded(float(one.t[0]))} to {rounded(float(one.t[-1]))}"
        told = ", ".join([f"cost {one.cost:.6g}", span, *shared, f"{len(one.t)} nodes", one.scheme])
        lines.append(f"{called}: {told}; {_quality(one)}")
    return "\n".join([*lines, *([] if solution.success else [solution.status.value])])


def explanation_of_phases(solution: PhasedSolution) -> str:
    """All there is to say."""
    lines = [summary_of_phases(solution)]
    lines += [solution.status.value] if solution.success else []
    whole, parts = findings_of(solution.result), [findings(one) for one in solution.phases]
    lines += [] if whole is None else _violations(whole)
    lines += _listed_by_phase(solution, [one.active for one in parts if one is not None])
    if whole is not None and solution.status is Status.INFEASIBLE:
        lines += _given_ends(whole)
    worst = max(solution.phases, key=lambda one: one.accuracy)
    return "\n".join([*lines, f"Next: {_advice(worst)}"])


def _listed_by_phase(solution: PhasedSolution, constraints: Sequence[Sequence[Active]]) -> Iterator[str]:
    """What is active in each phase, or nothing where that is not known; what phases share, once."""
    known: set[str] = set()
    for name, one, own in zip(solution.names, solution.phases, constraints, strict=False):
        shared = set(one.parameter_names) if solution.problem is None else set(solution.problem.shared)
        found = [each for each in own if each.of not in shared or each.name not in known]
        known |= {each.name for each in found}
        yield f"Active in {name}:" if found else f"Nothing is active in {name}."
        yield from _listed(found)


def _quality(solution: Solution) -> str:
    """How far equations and bounds are from being met; the error where that is nothing."""
    known = findings(solution) if solution.result is None else solution.result
    violation = None if known is None else known.violation
    if violation is not None and violation > NOTHING:
        return f"violation {violation:.1e}"
    return f"error at most {solution.accuracy:.1e} {_worst(solution)}"


def _parameters(solution: Solution) -> list[tuple[str, float]]:
    return list(zip(solution.parameter_names, solution.parameters.tolist(), strict=True))


def _place(solution: Solution, node: int, word: str) -> str:
    return f"{word} node {node} (t = {float(solution.t[node]):.4g})"


def _worst(solution: Solution) -> str:
    return _place(solution, int(solution.error.argmax()), "from")


def _accuracy(solution: Solution) -> Iterator[str]:
    error = solution.error
    yield (
        f"Between the nodes, the states miss their dynamics by {solution.accuracy:.1e} of their size in the worst "
        f"interval, {_worst(solution)}, by {float(error.median()):.1e} in the median one, by {float(error.sum()):.1e} "
        "in all."
    )
    yield (
        "That is local: solution.simulate() tells how far from the plan it carries the motion, which may be much "
        "farther."
    )


def _violations(found: Findings) -> Iterator[str]:
    if found.violated:
        yield "Violated: " + "; ".join(f"{name}, by {number:.3g}" for name, number in found.violated[:SHOWN]) + "."
    else:
        yield "All equations, bounds and path constraints are met."


def _infeasible(found: Findings) -> Iterator[str]:
    yield from _violations(found)
    if found.active:
        yield "What stands against it:"
        yield from _listed(found.active)
    yield from _given_ends(found)


def _given_ends(found: Findings) -> Iterator[str]:
    if found.ends:
        yield f"Ends that are given, the hardest first: {', '.join(found.ends[:SHOWN])}."


def _listed(constraints: Sequence[Active]) -> Iterator[str]:
    for one in constraints:
        when = ", ".join(map(_when, one.spans[:SHOWN])) + (", ..." if len(one.spans) > SHOWN else "")
        yield f"  {one.name}{f': {when}' if when else ''}; multiplier up to {one.force:.3g}"


def _when(span: Span) -> str:
    if span.first == span.last:
        return f"t = {rounded(span.first)} (node {span.nodes[0]})"
    return f"t = {rounded(span.first)} to {rounded(span.last)} (nodes {span.nodes[0]} to {span.nodes[1]})"


def _costates(solution: Solution) -> Iterator[str]:
    """The state on which the cost depends most, beside its size."""
    if not bool(solution.costates.isfinite().all()):
        return
    span = solution.x.amax(0) - solution.x.amin(0)
    node, which = divmod(int((solution.costates.abs() * span).argmax()), len(solution.states))
    costate = float(solution.costates[node, which])
    if costate:
        yield (
            f"Hardest of the dynamics: {solution.states[which]}, {_place(solution, node, 'at')}, where the cost of the "
            f"rest {'rises' if costate > 0 else 'falls'} by {abs(costate):.3g} with each unit of it."
        )


def _advice(solution: Solution) -> str:
    usual = ADVICE.get(solution.status, DEFAULT)
    if not solution.success or solution.accuracy <= COARSE:
        return usual
    scheme = SCHEMES.get(solution.scheme, Euler())
    lines = [
        f"The grid is coarse: twice the nodes make the error about {2**scheme.defect} times smaller, save where "
        "controls jump."
    ]
    if scheme.order < 4:
        lines.append("With scheme='hermite-simpson' it may be much smaller.")
    if (few := _few(solution)) <= len(solution.error) / 5:
        lines.append(
            f"{few} of {len(solution.error)} intervals hold {MOST:.0%} of it, the worst one {_worst(solution)}: "
            "solve(accuracy=1e-6) makes the grid finer there."
        )
    return " ".join([*lines, usual])


def _few(solution: Solution) -> int:
    """In how many intervals most of the error is."""
    shares = solution.error.sort(descending=True).values.cumsum(0) / solution.error.sum()
    return int((shares < MOST).sum()) + 1
