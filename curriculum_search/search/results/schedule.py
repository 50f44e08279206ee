"""What a run trained on and when, in numbers: its densities over the noise quantile, stage by stage."""

import numpy as np

from curriculum_search.curriculum import CurriculumFile
from curriculum_search.curriculum.base_density import base_density
from curriculum_search.curriculum.moving import Moving
from curriculum_search.diffusion.piecewise import PiecewiseDensity
from curriculum_search.diffusion.process import Process
from curriculum_search.export import curriculum_of
from curriculum_search.report.page import Schedule
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.search.arms import Run

_INTERVALS = 32  # of q that are shown at least
_MOST_KNOTS = 96  # of a base density that is shown exactly
_LOOKS = 512  # at which a density that moves is looked at
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
    base = base_density(resolved.density, resolved.process)
    switches = [(switch["images"], min(switch["stage"], sampler.num_stages)) for switch in curve.switches]
    switches = switches or [(0, sampler.num_stages)]
    end = max(curve.images_seen, switches[-1][0] + 1)
    edges = _edges(base.knots, sampler.edges)
    starts, masses = [], []
    for images in sorted({images for images, _ in switches} | _moves(resolved, end)):
        base.update(images / resolved.total_images)
        stage = max(stage for since, stage in switches if since <= images)
        starts.append(images)
        masses.append(np.diff(sampler.density_in(stage, base.present).cdf_at(edges)))
    lengths = np.diff([*starts, end])
    share = lengths @ np.array(masses) / lengths.sum()
    if result is not None and result.exposure:
        exposure = PiecewiseDensity.from_masses(result.exposure["edges"], result.exposure["mass"])
        share = np.diff(exposure.cdf_at(edges))
    widths = np.diff(edges)
    return Schedule(
        total_images=end,
        edges=edges.tolist(),
        levels=_levels(run.experiment.process, (edges[1:] + edges[:-1]) / 2),
        starts=starts,
        density=(np.maximum(masses, 0) / widths).tolist(),
        exposure=(np.maximum(share, 0) / widths).tolist(),
        stages=len(switches),
        remark=_ADAPTS if resolved.density.adaptive else "",
    )


def _moves(resolved: CurriculumFile, end: int) -> set[int]:
    """Images after which a base density that moves is another."""
    if not isinstance(resolved.density, Moving):
        return set()
    times = np.linspace(0, end, _LOOKS, endpoint=False).astype(int)
    ways = [resolved.density.way(images / resolved.total_images) for images in times]
    return {int(times[i]) for i in range(1, _LOOKS) if ways[i] != ways[i - 1]}


def _edges(knots: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Where the densities of a run can change, and enough besides for a smooth base density."""
    own = knots if len(knots) <= _MOST_KNOTS else np.linspace(0, 1, _MOST_KNOTS + 1)
    edges = np.union1d(np.union1d(clusters, own), np.linspace(0, 1, _INTERVALS + 1))
    keep = np.diff(edges, append=2.0) > 1e-4
    keep[0] = True
    return np.append(edges[keep & (edges < 1 - 1e-4)], 1.0)


def _levels(process: Process, q: np.ndarray) -> list[str]:
    word = _WORDS.get(str(process.to_dict()["kind"]), "level")
    return [f"{word} {float(level):.3g}" for level in process.level(q)]
