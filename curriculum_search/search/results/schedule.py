"""What a run trained on and when, in numbers: its densities over the noise quantile, stage by stage."""

import numpy as np

from curriculum_search.diffusion.density import PiecewiseDensity
from curriculum_search.diffusion.process import Process
from curriculum_search.export import curriculum_of
from curriculum_search.report.page import Schedule
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.search.arms import Run

_INTERVALS = 32  # of q that are shown at least
_MOST_KNOTS = 96  # of a base density that is shown exactly
_WORDS = {"ddpm": "timestep", "edm": "sigma"}  # of a native level; else "level"
_ADAPTS = "its base density follows the losses, and is shown as it starts"


def schedule(run: Run, curve: Curve, result: RunResult | None) -> Schedule | None:
    """The schedule of a run as far as it has reported; None where its curriculum cannot be found, as where the file by
    which it was measured is another now."""
    try:
        resolved = curriculum_of(run.experiment)
    except ValueError:
        return None
    sampler = resolved.sampler("cpu")
    switches = [(switch["images"], min(switch["stage"], sampler.num_stages)) for switch in curve.switches]
    switches = switches or [(0, sampler.num_stages)]
    end = max(curve.images_seen, switches[-1][0] + 1)
    edges = _edges(sampler.density, sampler.edges)
    masses = np.array([np.diff(sampler.density_in(stage).cdf_at(edges)) for _, stage in switches])
    lengths = np.diff([*(images for images, _ in switches), end])
    share = lengths @ masses / lengths.sum()
    if result is not None and result.exposure:
        exposure = PiecewiseDensity.from_masses(result.exposure["edges"], result.exposure["mass"])
        share = np.diff(exposure.cdf_at(edges))
    widths = np.diff(edges)
    return Schedule(
        total_images=end,
        edges=edges.tolist(),
        levels=_levels(run.experiment.process, (edges[1:] + edges[:-1]) / 2),
        starts=[images for images, _ in switches],
        density=(np.maximum(masses, 0) / widths).tolist(),
        exposure=(np.maximum(share, 0) / widths).tolist(),
        switches=len(switches),
        remark=_ADAPTS if resolved.density.adaptive else "",
    )


def _edges(base: PiecewiseDensity, clusters: np.ndarray) -> np.ndarray:
    """Where the densities of a run can change, and enough besides for a smooth base density."""
    own = base.knots if len(base.knots) <= _MOST_KNOTS else np.linspace(0, 1, _MOST_KNOTS + 1)
    edges = np.union1d(np.union1d(clusters, own), np.linspace(0, 1, _INTERVALS + 1))
    keep = np.diff(edges, append=2.0) > 1e-4
    keep[0] = True
    return np.append(edges[keep & (edges < 1 - 1e-4)], 1.0)


def _levels(process: Process, q: np.ndarray) -> list[str]:
    word = _WORDS.get(str(process.to_dict()["kind"]), "level")
    return [f"{word} {float(level):.3g}" for level in process.level(q)]
