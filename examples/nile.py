"""The annual flow of the Nile, 1871-1970, smoothed without a Kalman filter.

    python examples/nile.py [--plot NILE.png]

The level μ_t of the river is seen through noise, y_t = μ_t + ε_t, and its first differences (local level) or its
second ones (smooth trend) are noise η_t (Durbin & Koopman 2012, Time Series Analysis by State Space Methods, chapters 2
and 3). Minus the logarithm of the posterior is a plain function of the levels; its Hessian, a band, is their precision.
One solve gives the smoothed levels, the band of the inverse their variances, the determinant the exact diffuse
likelihood. A year without data has no term. `pip install statsmodels` brings the data, and a smoother that must agree.
"""

import argparse
import importlib
import math
import sys
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import banded
from banded import Symmetric

AGREEMENT = 1e-8  # relative, of levels, variances and likelihoods
ESTIMATES = 1e-5  # relative, of fitted variances: the search of statsmodels goes by approximate derivatives


@dataclass(frozen=True, eq=False)
class Model:
    """A series `flow` `(n,)`, NaN where it is missing, with local level (d = 1) or smooth trend (d = 2).

    Levels are `(n,)`, in the unit of the flow; `variances` are σε² and ση² `(2,)`, in its square.
    """

    flow: Tensor
    d: int

    def misfit(self, level: Tensor) -> Tensor:
        """½ Σ ε_t² over the years that were seen, `()`."""
        return (self.flow - level)[self.flow.isfinite()].square().sum() / 2

    def roughness(self, level: Tensor) -> Tensor:
        """½ Σ η_t² = ½ Σ (Δᵈ μ_t)², `()`."""
        return level.diff(self.d).square().sum() / 2

    def negative_log_posterior(self, level: Tensor, variances: Tensor) -> Tensor:
        """-log p(μ | y), `()`, up to a constant; flat in the first d levels: the diffuse start."""
        return self.misfit(level) / variances[0] + self.roughness(level) / variances[1]


def smooth(model: Model, variances: Tensor) -> tuple[Tensor, Symmetric]:
    """Mean and precision of the levels given all of the data, `(n,)` and `(n, n)`, by one Newton step from 0."""
    zero = torch.zeros_like(model.flow)
    plan = banded.plan(lambda level: model.negative_log_posterior(level, variances), zero, bandwidth=model.d)
    _, gradient, H = plan(zero)
    return -H.solve(gradient), H


def log_likelihood(model: Model) -> Callable[[Tensor], Tensor]:
    """The exact diffuse log-likelihood, a function of log σε² and log ση², `(2,)` to `()`; twice differentiable.

    The levels are integrated out. Where J is the loss, H its Hessian, and m of n years are seen:

        log L = -min J - ½ log det H - m/2 (log 2π + log σε²) - (n - d)/2 log ση².

    The first d levels are N(0, κ I), and L is the density of the data times κ^(d/2) in the limit κ → ∞ (Durbin &
    Koopman 2012, §7.2.2): of the factors (2π)^(-1/2), m + (n - d) + d stand in the densities, the integral cancels n.
    H = A / σε² + B / ση² with constant A and B, so that derivatives pass through its solve and determinant.
    """
    zero, n, m = torch.zeros_like(model.flow), len(model.flow), int(model.flow.isfinite().sum())
    _, a, A = banded.plan(model.misfit, zero, bandwidth=0)(zero)  # the gradient at 0; that of the roughness is 0
    B = banded.hessian(model.roughness, zero, bandwidth=model.d)

    def value(log_variances: Tensor) -> Tensor:
        noise, drift = variances = log_variances.exp()
        H: Symmetric = A / noise + B / drift
        factor = H.cholesky()
        J = model.negative_log_posterior(-factor.solve(a / noise), variances)
        constants = m * (math.log(2 * math.pi) + log_variances[0]) + (n - model.d) * log_variances[1]
        return -J - (factor.logdet() + constants) / 2

    return value


def fit(model: Model) -> Tensor:
    """σε² and ση² of the largest likelihood, `(2,)`, by Newton's method on their logarithms."""
    likelihood, spread = log_likelihood(model), model.flow[model.flow.isfinite()].var().log()
    start = torch.stack([spread, spread - 2 * model.d])
    result = banded.minimize(lambda log_variances: -likelihood(log_variances), start, progress=False)
    if not result.success:
        raise RuntimeError(str(result))
    return torch.exp(result.x)


def kalman(model: Model) -> Any:
    """The same model in statsmodels, with its exact diffuse start."""
    structural = importlib.import_module("statsmodels.tsa.statespace.structural")
    trend = {1: "llevel", 2: "strend"}[model.d]
    return structural.UnobservedComponents(model.flow.numpy(), trend, use_exact_diffuse=True)


def compare(model: Model, variances: Tensor) -> dict[str, float]:
    """Largest differences from statsmodels' Kalman smoother, relative to the largest entry, each by its name."""
    (level, H), results = smooth(model, variances), kalman(model).smooth(variances.numpy())
    mean, covariance = results.smoother_results.smoothed_state, results.smoother_results.smoothed_state_cov
    S, t = H.inverse_band(), torch.arange(len(level) - 1)
    pairs = {"level": (level, mean[0]), "variance": (S.diagonal(), covariance[0, 0])}
    if model.d == 2:  # the slope μ_{t+1} - μ_t is a state there; its variance takes the band beside the diagonal
        of_slope = S[t + 1, t + 1] + S[t, t] - 2 * S[t + 1, t]
        pairs |= {"slope": (level.diff(), mean[1, :-1]), "its variance": (of_slope, covariance[1, 1, :-1])}
    pairs["likelihood"] = (log_likelihood(model)(variances.log()), np.array(results.llf))
    return {name: float(np.abs(our.numpy() - its).max() / np.abs(its).max()) for name, (our, its) in pairs.items()}


def race(n: int) -> tuple[float, float]:
    """Seconds for levels and variances of n made years, here and in statsmodels: the best of three, on one thread."""
    variances, noise = torch.tensor([15099, 1469.1]).double(), torch.randn(2, n).double()
    model = Model(1000 + variances[0].sqrt() * noise[0] + variances[1].sqrt() * noise[1].cumsum(0), 1)
    theirs = kalman(model)
    theirs.update(variances.numpy())
    contest = (lambda: smooth(model, variances)[1].inverse_band(), lambda: theirs.ssm.smooth(smoother_output=1 | 2))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as many as the filter takes
    ours, its = (min(timeit.repeat(run, number=1, repeat=3)) for run in contest)
    torch.set_num_threads(threads)
    return ours, its


def report(name: str, model: Model) -> bool:
    """Print fit and comparison; whether all of it agrees."""
    variances, searched = fit(model), kalman(model).fit(disp=False, pgtol=1e-10, factr=1.0).params
    apart = compare(model, variances)
    print(f"{name}: log-likelihood {float(log_likelihood(model)(variances.log())):.6f}")
    print("  σε² {:.2f}, ση² {:.6g}; statsmodels {:.2f}, {:.6g}".format(*variances.tolist(), *searched))
    print("  relative differences: " + ", ".join(f"{key} {value:.0e}" for key, value in apart.items()))
    return max(apart.values()) < AGREEMENT and bool(np.allclose(searched, variances, rtol=ESTIMATES, atol=0))


def draw(flow: Tensor, gaps: Tensor, path: Path) -> None:
    """The local level with ten years to come, the same with forty years left out, and the smooth trend."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.5), layout="constrained")
    axes = figure.subplot_mosaic([["whole", "whole"], ["gaps", "trend"]], height_ratios=[6, 5])
    ahead = Model(torch.cat([flow, torch.full((10,), math.nan)]), 1)
    _draw_one(axes["whole"], ahead, "Local level, and ten years ahead", paths=6)
    _draw_one(axes["gaps"], Model(gaps, 1), "Forty years left out", paths=3)
    _draw_one(axes["trend"], Model(flow, 2), "Smooth trend", paths=3)
    left_out = np.flatnonzero(gaps.isnan())
    axes["gaps"].plot(1871 + left_out, flow[left_out], "o", mfc="none", mec="0.6", ms=3.5)
    axes["whole"].text(1899.3, 1400, "1899: from 1098 to 850 on average", color="C3", va="top")
    axes["whole"].legend(loc="upper right", ncols=2, frameon=False)
    axes["gaps"].legend(axes["gaps"].lines[-1:], ["left out"], loc="upper right", frameon=False)
    figure.savefig(path, dpi=120)


def _draw_one(axes: Any, model: Model, title: str, paths: int) -> None:
    variances = fit(model)
    level, H = smooth(model, variances)
    years, spread = 1871 + np.arange(len(level)), 2 * H.inverse_band().diagonal().sqrt()
    draws = level + H.cholesky().sample((paths,), generator=torch.Generator().manual_seed(1))
    axes.fill_between(years, level - spread, level + spread, color="C0", alpha=0.2, lw=0, label="± 2 sd")
    axes.plot(years, draws.T, color="C0", lw=0.6, alpha=0.7, label=["draws"] + ["_"] * (paths - 1))
    axes.plot(years, level, color="C0", lw=2.2, label="smoothed level")
    axes.plot(years, model.flow, "o", color="0.15", ms=3.5, label="measured")
    axes.axvline(1898.5, color="C3", lw=1, ls="--")
    axes.set_title(f"{title} (σε² = {variances[0]:.0f}, ση² = {variances[1]:.4g})")
    axes.set(ylabel="flow in 10⁸ m³ a year", xmargin=0.01, ylim=(400, 1430))
    axes.spines[["top", "right"]].set_visible(False)


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 agreed, 1 not agreed, 2 something is not installed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, metavar="NILE.png", help="draw data, smoothed levels and sampled paths")
    options = parser.parse_args(arguments)
    try:
        data = importlib.import_module("statsmodels.datasets.nile").load_pandas().data
        flow = torch.from_numpy(data["volume"].to_numpy(dtype=float, copy=True))
        gaps = flow.clone()
        gaps[20:40] = gaps[60:80] = math.nan  # 1891-1910 and 1931-1950, as in §2.7 of the book
        agreed = [report("local level", Model(flow, 1)), report("local level, 40 years missing", Model(gaps, 1))]
        agreed += [report("smooth trend", Model(flow, 2)), report("smooth trend, 40 years missing", Model(gaps, 2))]
        print("local level of {:,} years: {:.3f} s; statsmodels {:.3f} s".format(100_000, *race(100_000)))
        if options.plot:
            draw(flow, gaps, options.plot)
    except ModuleNotFoundError as error:
        print(f"nile: {error}; pip install {str(error.name).partition('.')[0]}", file=sys.stderr)
        return 2
    return 0 if all(agreed) else 1


if __name__ == "__main__":
    sys.exit(main())
