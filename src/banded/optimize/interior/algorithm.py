"""The primal-dual interior-point method with a filter, as an algorithm that asks for all it needs.

Wächter & Biegler (2006, Math. Program. 106:25-57); sections and equations are those of this paper.
"""

import math
from collections.abc import Callable

from banded.optimize.interior.filter import Base, Filter
from banded.optimize.interior.iterate import Iterate, Settings
from banded.optimize.interior.judge import ENOUGH, Judge
from banded.optimize.interior.questions import EVALUATED, Asking, Direction, Inquiry, Measure, Step, Trial, question
from banded.optimize.interior.schedule import RULES, Monotone
from banded.optimize.result import Status

MU = 0.1  # the first μ
FIRST, LEAST, LARGEST = 1e-4, 1e-20, 1e20  # δ, algorithm IC
FASTER, FAST, SLOWER = 100.0, 8.0, 1 / 3  # how it grows at first and later, and shrinks
SOFT, SOFT_POWER = 1e-8, 0.25  # δ_c = SOFT μ^SOFT_POWER where equations depend on each other
DEPENDENT = 1e-5  # relative residual from which they seem to
CORRECTIONS, CORRECTED = 4, 0.99  # second-order corrections, and how much each has to bring
TINY = 10.0  # eps, relative, below which a step is none
RESTORED = 0.9  # Σ |c| has to fall to this share in restoration
CROWDED, MET, SHORT = 1e4, 1e-5, 1e-9  # s_d, violation and step, at which the bounds seem to leave no room
HARD, STIFF, STUCK, STILL = 8, 1e6, 10, 1e-6  # trials or δ for a step; so many in a row of so small steps: f has a kink
FLAT = 1e-8  # δ up to which what it takes to be definite may be a matter of rounding
SHORTENED, LEAPS = 10, 3  # steps in a row that were, after which so many are taken whatever the filter says
NEAR = 1e-2  # the violation from which on they are: far from the constraints they lead astray
HALVINGS = 20  # of a step along negative curvature


Watch = Callable[[Iterate], Asking[Iterate]]


class InteriorPoint:
    """The method for one problem, in one phase.

    Args:
        settings: as they are.
        phase: 0, or 1 for restoration.
        watch: in restoration, has a look at iterates: they are told in terms of the regular phase, and the last one has
            a status.
    """

    def __init__(self, settings: Settings, phase: int = 0, watch: Watch | None = None) -> None:
        self._settings, self._phase, self._watch = settings, phase, watch
        self._schedule = self._scheduled(settings.mu)
        self._shift, self._tiny = 0.0, False
        self._judge = Judge(settings)
        self._last = 0.0  # the last δ that was needed
        self._relaxed = False
        self._stuck, self._soft = 0, 0.0
        self._shortened, self._leaps = 0, 0  # steps in a row that were; of those that nothing stopped, how many
        self._kept: Base | None = None  # where these began
        self._evaluations = 1
        self._filter = Filter(0.0, math.inf)
        self._moved: tuple[Direction | None, float, float, float, int] = (None, 0.0, 0.0, 0.0, 0)  # what led here

    def run(self) -> Asking[Status | None]:
        """From where the workspace is, to the status; None where restoration has done its work."""
        if self._phase == 0 and self._settings.constrained and not self._settings.warm:
            yield self._ask(Step.MULTIPLIERS)
        measure = yield from self._begin()
        while True:
            measure, iterate = yield from self._settle(measure)
            if self._phase == 0 and iterate.status in (Status.CONVERGED, Status.PRECISION):
                moved = yield from self._leaves_saddle(measure)
                if moved:
                    yield iterate._replace(status=None)
                    measure = yield from self._measure()
                    continue
            if self._watch is not None:
                iterate = yield from self._watch(iterate)
            yield iterate if self._phase == 0 else iterate._replace(status=None)  # which speaks of restoration alone
            if iterate.status is not None or iterate.restored:
                return None if iterate.restored else iterate.status
            measure = yield from self._lower_barrier((yield from self._make_room(measure)))
            ended = yield from self._advance(measure)
            if ended is not None and self._may_relax(measure):
                measure = yield from self._relax()
                ended = yield from self._advance(measure)
            if ended is not None:
                if self._phase == 0:
                    measure = yield from self._measure()  # which restoration may have moved
                    yield self._iterate(measure)._replace(status=ended)
                return ended
            measure = yield from self._measure()

    def _begin(self) -> Asking[Measure]:
        """With nothing to compare points with but where it is."""
        measure = yield from self._measure()
        self._filter = Filter.at(measure.theta)
        self._kept, self._shortened = None, 0
        self._judge.begin(measure)
        return measure

    def _scheduled(self, mu: float) -> Monotone:
        rule = RULES[self._settings.barrier] if self._phase == 0 and self._settings.bounds else Monotone
        return rule(mu, self._settings.tolerance, self._settings.bounds)

    def _settle(self, measure: Measure) -> Asking[tuple[Measure, Iterate]]:
        """The iterate; once it has converged, in the scales of the point itself, in which it may not have."""
        iterate = self._iterate(measure)
        while self._phase == 0 and iterate.status is Status.CONVERGED:
            growth: float = yield self._ask(Step.RESCALE)
            if not growth:
                break
            self._schedule = self._scheduled(min(MU, growth * self._mu))
            measure = yield from self._begin()
            again = self._iterate(measure)
            iterate = again._replace(evaluations=iterate.evaluations + 1)
        return measure, iterate

    def _ask(self, step: Step, *numbers: float) -> Inquiry:
        self._evaluations += step in EVALUATED
        return question(self._phase, step, *numbers)

    def _measure(self, mu: float | None = None) -> Asking[Measure]:
        measure: Measure = yield self._ask(Step.MEASURE, self._mu if mu is None else mu)
        return measure

    def _iterate(self, measure: Measure) -> Iterate:
        direction, primal, dual, shift, trials = self._moved
        evaluations, self._evaluations = self._evaluations, 0
        return Iterate(
            measure,
            self._mu,
            direction,
            primal,
            dual,
            shift,
            trials,
            measure.value,
            measure.primal,
            self._phase > 0,
            False,
            evaluations,
            self._judge.status(measure),
        )

    @property
    def _mu(self) -> float:
        return self._schedule.mu

    def _lower_barrier(self, measure: Measure) -> Asking[Measure]:
        """Μ for the step to come."""
        before = self._mu
        measure = yield from self._schedule.update(measure, self._tiny, self._measure)
        if self._mu != before:
            self._tiny = False
            self._filter.clear()
            self._kept, self._shortened = None, 0
        return measure

    def _make_room(self, measure: Measure) -> Asking[Measure]:
        """Move the bounds by the tolerance, once, where their multipliers grow and grow: then nothing lies inside."""
        last = self._moved[0]
        still = last is not None and last.size < SHORT
        return (yield from self._relax()) if still and self._is_crowded(measure) else measure

    def _may_relax(self, measure: Measure) -> bool:
        """Whether a lack of room may be why there is no next point."""
        poor = measure.error > ENOUGH * self._settings.tolerance and measure.primal <= MET
        return self._phase == 0 and not self._relaxed and self._settings.bounds > 0 and poor

    def _is_crowded(self, measure: Measure) -> bool:
        """Whether the multipliers of bounds that are met say that nothing lies between them."""
        crowded = measure.dual_scale >= CROWDED and measure.primal <= MET
        return self._phase == 0 and not self._relaxed and crowded

    def _relax(self) -> Asking[Measure]:
        self._relaxed = True
        yield self._ask(Step.RELAX, self._mu, self._settings.tolerance)
        if self._settings.constrained:
            yield self._ask(Step.MULTIPLIERS)  # those that were there grew without limit
        self._filter.clear()
        self._kept, self._shortened = None, 0
        return (yield from self._measure())

    def _advance(self, measure: Measure) -> Asking[Status | None]:
        """To the next point, or the reason why there is none."""
        direction = yield from self._direction()
        if direction is None:
            return (yield from self._restore(Base(measure.theta, measure.phi, 0.0, 0.0)))
        if self._schedule.limits is not None:
            self._schedule.mu = direction.mu
            self._filter.clear()
            measure = yield from self._measure()
        base = self._base(measure, direction)
        if direction.size < TINY * self._settings.eps and measure.theta < self._filter.theta_min:
            return (yield from self._crawl(direction))
        if self._schedule.limits is not None:
            self._kept, self._shortened = None, 0  # φ is another one each time
        elif self._may_leap(measure):
            leapt = yield from self._leap(base, direction)
            if leapt:
                return None
            measure = yield from self._measure()
            again = yield from self._direction()
            if again is None:
                return (yield from self._restore(Base(measure.theta, measure.phi, 0.0, 0.0)))
            base, direction = self._base(measure, again), again
        found = yield from self._search(base, direction)
        if found is None:
            return (yield from self._restore(base))
        length, taken, trials, trial = found
        self._shortened = self._shortened + 1 if trials > 1 else 0
        if not (base.switches(length) and base.decreases(length, trial.phi)):
            self._filter.add(base)
        yield from self._take(length, taken, trials)
        self._tiny = False
        hard = trials >= HARD or self._shift > STIFF
        still = self._phase == 0 and hard and length * taken.size < STILL
        self._stuck = self._stuck + 1 if still else 0
        if still:
            self._last = 0.0  # a δ from where multipliers were huge may be the reason: it is found anew
        return (yield from self._unstick()) if self._stuck >= STUCK else None

    def _base(self, measure: Measure, direction: Direction) -> Base:
        return Base(measure.theta, measure.phi, direction.slope, 10 * self._settings.eps * abs(measure.phi))

    def _may_leap(self, measure: Measure) -> bool:
        begins = self._shortened >= SHORTENED and measure.primal <= NEAR
        return self._phase == 0 and (self._kept is not None or begins)

    def _leap(self, base: Base, direction: Direction) -> Asking[bool]:
        """Some full steps that nothing stops, where many were short: one of them may be better than where they began.

        Else it goes back there (the watchdog of Chamberlain et al. 1982, Math. Program. Study 16:1-17).
        """
        if self._kept is None:
            yield self._ask(Step.KEEP)
            self._kept, self._leaps = base, 0
        length = direction.primal
        trial: Trial = yield self._ask(Step.LOOK, length, self._mu)
        if self._filter.accepts(self._kept, length, trial.theta, trial.phi):
            if not (self._kept.switches(length) and self._kept.decreases(length, trial.phi)):
                self._filter.add(self._kept)
            self._kept, self._shortened = None, 0
        elif self._leaps < LEAPS and math.isfinite(trial.theta) and math.isfinite(trial.phi):
            self._leaps += 1
        else:
            yield self._ask(Step.RETURN)
            self._kept, self._shortened = None, 0
            return False
        yield from self._take(length, direction, 1)
        return True

    def _unstick(self) -> Asking[Status | None]:
        """Where steps stay tiny: restoration, if there is something to restore."""
        self._stuck = 0
        measure = yield from self._measure()
        if not self._settings.constrained or measure.primal <= ENOUGH * self._settings.tolerance:
            return Status.LINE_SEARCH
        return (yield from self._restore(Base(measure.theta, measure.phi, 0.0, 0.0)))

    def _leaves_saddle(self, measure: Measure) -> Asking[bool]:
        """At a saddle or a maximum, a step along negative curvature, where that leads down."""
        tau, shift = self._schedule.tau, 0.0
        direction: Direction | None = None
        while shift <= LARGEST and direction is None:
            direction = yield self._ask(Step.DIRECTION, self._mu, tau, shift, 0.0)
            last, shift = shift, shift * FASTER if shift else FLAT
        if last <= FLAT or direction is None:
            return False
        ray: Direction = yield self._ask(Step.CURVE, self._mu, tau)
        length, noise = ray.primal, 10 * self._settings.eps * abs(measure.phi)
        here: Trial = yield self._ask(Step.TRY, 0.0, self._mu)
        for _ in range(HALVINGS):
            trial: Trial = yield self._ask(Step.LOOK, length, self._mu)
            down = trial.lagrangian < here.lagrangian - noise  # φ alone falls, too, where constraints are violated
            if down and trial.theta <= max(measure.theta, self._filter.theta_min):
                yield from self._take(length, ray, 1)
                return True
            length /= 2
        return False  # it is flat, but for rounding errors

    def _take(self, length: float, direction: Direction, trials: int) -> Asking[None]:
        yield self._ask(Step.TAKE, direction.dual, self._mu)
        self._moved = (direction, length, direction.dual, self._shift, trials)

    def _crawl(self, direction: Direction) -> Asking[Status | None]:
        """A step that rounding errors swallow: it is taken as it is, once (§3.9)."""
        if self._tiny:
            return Status.PRECISION
        trial: Trial = yield self._ask(Step.LOOK, direction.primal, self._mu)
        if not (math.isfinite(trial.theta) and math.isfinite(trial.phi)):
            return Status.NON_FINITE
        yield from self._take(direction.primal, direction, 1)
        self._tiny = True
        return None

    def _direction(self) -> Asking[Direction | None]:
        """With the smallest δ tried for which the system has the right inertia (algorithm IC)."""
        step: Step = Step.DIRECTION
        numbers: tuple[float, ...] = (self._mu, self._schedule.tau)
        if self._schedule.limits is not None:
            step, numbers = Step.AIM, (*self._schedule.limits, self._schedule.tau)
        shift, soft = 0.0, 0.0
        while shift <= LARGEST:
            direction: Direction | None = yield self._ask(step, *numbers, shift, soft)
            if direction is not None and direction.residual > DEPENDENT and soft == 0:
                soft = SOFT * self._mu**SOFT_POWER
                continue
            if direction is not None and math.isfinite(direction.slope):
                self._last = shift or self._last
                self._shift, self._soft = shift, soft
                return direction
            if shift:
                shift *= FAST if self._last else FASTER
            else:
                shift = max(LEAST, self._last * SLOWER) if self._last else FIRST
        return None

    def _search(self, base: Base, direction: Direction) -> Asking[tuple[float, Direction, int, Trial] | None]:
        """Back from the longest step until the filter accepts: the length, the direction, how many trials, the last."""
        length, trials = direction.primal, 0
        shortest = self._filter.shortest(base)
        while trials == 0 or length >= shortest:
            step = Step.LOOK if trials == 0 else Step.TRY
            trial: Trial = yield self._ask(step, length, self._mu)
            trials += 1
            if self._filter.accepts(base, length, trial.theta, trial.phi):
                if step is Step.TRY:  # derivatives must be finite, too
                    trial = yield self._ask(Step.LOOK, length, self._mu)
                if math.isfinite(trial.phi):
                    return length, direction, trials, trial
            if trials == 1 and self._settings.constrained and base.theta <= trial.theta < math.inf:
                corrected = yield from self._correct(base, direction, trial)
                if corrected is not None:
                    return corrected
                # the corrections took the place of the step: it is found again
                again: Direction | None = yield self._ask(
                    Step.DIRECTION, self._mu, self._schedule.tau, self._shift, self._soft
                )
                if again is None:  # its matrix is definite within rounding alone, which another batch rounds otherwise
                    return None
            length /= 2
        return None

    def _correct(
        self, base: Base, direction: Direction, trial: Trial
    ) -> Asking[tuple[float, Direction, int, Trial] | None]:
        """Second-order corrections of a first trial that went away from the constraints (§2.4)."""
        tau, length, theta = self._schedule.tau, direction.primal, trial.theta
        for turn in range(CORRECTIONS):
            other: Direction | None = yield self._ask(Step.CORRECTION, self._mu, tau, 1.0 if turn == 0 else 0.0, length)
            if other is None or not math.isfinite(other.slope):
                return None
            length = other.primal
            trial = yield self._ask(Step.LOOK, length, self._mu)
            if self._filter.accepts(base, length, trial.theta, trial.phi):
                return length, other, turn + 2, trial
            if not trial.theta <= CORRECTED * theta:
                return None
            theta = trial.theta
        return None

    def _split(self, base: Base) -> Asking[Status | None]:
        """In restoration, p and q anew: that meets the equations where no step does."""
        if base.theta <= 1e-2 * self._settings.tolerance:
            return Status.LINE_SEARCH
        self._filter.add(base)
        yield self._ask(Step.SPLIT, self._mu)
        self._moved = (None, 0.0, 0.0, 0.0, 0)
        return None

    def _restore(self, base: Base) -> Asking[Status | None]:
        """Restoration of feasibility, where no step is acceptable (§3.3)."""
        if not self._settings.constrained:
            return Status.LINE_SEARCH
        if self._phase > 0:
            return (yield from self._split(base))
        if base.theta <= 1e-2 * self._settings.tolerance:
            measure = yield from self._measure()
            return Status.PRECISION if measure.error <= self._settings.eps ** (1 / 3) else Status.LINE_SEARCH
        self._filter.add(base)
        measure = yield from self._measure()
        mu, first = max(self._mu, measure.primal), measure.primal

        def watch(iterate: Iterate) -> Asking[Iterate]:
            there: Trial = yield question(0, Step.COMPARE, self._mu)
            good = math.isfinite(there.phi) and there.theta <= RESTORED * base.theta
            good = good and there.primal <= max(RESTORED * first, self._settings.tolerance)
            good = good and self._filter.allows(there.theta, there.phi, 0.0)
            made = iterate.evaluations + 1
            return iterate._replace(value=there.value, violation=there.primal, restored=good, evaluations=made)

        yield self._ask(Step.ENTER, mu)
        other = InteriorPoint(self._settings._replace(mu=mu), 1, watch)
        status = yield from other.run()
        if status is not None and not status.success:
            return status
        self._moved = (None, 0.0, 0.0, 0.0, 0)
        if status is None:
            yield self._ask(Step.LEAVE, self._mu, self._schedule.tau)
            return None
        yield self._ask(Step.CONCEDE)
        measure = yield from self._measure()
        return Status.INFEASIBLE if measure.primal > ENOUGH * self._settings.tolerance else Status.LINE_SEARCH
