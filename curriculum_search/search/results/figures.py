"""The figures of a study: curves, stages and the Pareto set of the search; curves and stages of the confirmation."""

from pathlib import Path

from matplotlib.figure import Figure

from curriculum_search.curriculum import ORDINARY
from curriculum_search.export import curriculum_of
from curriculum_search.report import Scored, StageHistory, convergence, pareto, unlocked, unlocked_levels
from curriculum_search.runs.result import Curve
from curriculum_search.runs.store import RunStore
from curriculum_search.search.arms import Run, is_ordinary, title
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.study import StudyFile

FIGURES = "figures"  #: the folder that they are in, beside the report
#: What a figure can be written as beside PNG: sharp at any size, for papers.
VECTORS = (".pdf", ".svg")


def write_figures(
    folder: Path, search: SearchPhase, confirmation: ConfirmationPhase, *, vectors: bool = False
) -> dict[str, Path]:
    """Draw them into a folder, which is made, each as PNG.

    Args:
        folder: for them.
        search, confirmation: the phases of the study.
        vectors: also as PDF and SVG, which takes twice the time of PNG alone again.

    Returns:
        Caption to PNG file.
    """
    folder.mkdir(exist_ok=True)
    files = {}
    file = search.file
    figures = {**_of_search(file, search.store, search), **_of_confirmation(file, confirmation)}
    for caption, (name, figure) in figures.items():
        files[caption] = folder / f"{name}.png"
        figure.savefig(files[caption], dpi=130)
        for suffix in VECTORS if vectors else ():
            figure.savefig(folder / f"{name}{suffix}")
    return files


def _of_search(file: StudyFile, store: RunStore, search: SearchPhase) -> dict[str, tuple[str, Figure]]:
    # The same orders in each figure, so that they have the same colours.
    runs = search.runs()
    orders = dict.fromkeys(map(order_title, runs))
    curves: dict[str, list[list[tuple[int, float]]]] = {order: [] for order in orders}
    stages: dict[str, list[StageHistory]] = {order: [] for order in orders}
    for run in runs:
        curve = store.curve(run.key)
        curves[order_title(run)].append(curve.points(file.study.objective))
        if curve.switches:
            stages[order_title(run)].append(_stages(run, curve))
    if not any(points for of_order in curves.values() for points in of_order):
        return {}
    size = proxy_size(file)
    figures = {
        f"Convergence by order, search{size}": (
            "convergence_by_order_search",
            convergence(
                curves,
                metric=file.study.objective,
                highlight="best",
                direction=file.direction,
                baseline=ORDINARY,
            ),
        ),
        f"Unlocked clusters, search{size}": ("unlocked_clusters_search", unlocked(stages, baseline=ORDINARY)),
    }
    if len(file.objectives) > 1:
        front = [candidate.arm.name for candidate in search.pareto()]
        scored: dict[str, list[Scored]] = {order: [] for order in orders}
        for candidate in search.finished():
            name = candidate.arm.name
            scored[order_title(candidate.run)].append(
                Scored(name=name.replace("_", " "), values=candidate.values, best=name in front)
            )
        figure = pareto(scored, objectives=file.objectives, directions=file.directions, baseline=ORDINARY)
        figures[f"Objectives, search{size}"] = ("pareto", figure)
    return figures


def _of_confirmation(file: StudyFile, confirmation: ConfirmationPhase) -> dict[str, tuple[str, Figure]]:
    curves: dict[str, list[list[tuple[int, float]]]] = {}
    levels: dict[str, StageHistory] = {}
    for name in confirmation.arms:
        for seed in confirmation.results(name):
            run = confirmation.run(name, seed)
            curve = confirmation.curve(name, seed)
            curves.setdefault(arm_title(confirmation, name), []).append(curve.points(file.study.objective))
            if curve.switches and not is_ordinary(run.experiment):
                levels.setdefault(arm_title(confirmation, name), _stages(run, curve))
    figures = {}
    if curves:
        figures["Convergence by arm, fresh seeds"] = (
            "convergence_by_arm_fresh_seeds",
            convergence(
                curves,
                metric=file.study.objective,
                direction=file.direction,
                baseline=ORDINARY,
            ),
        )
    if levels:
        figures["Unlocked noise levels, fresh seeds"] = ("unlocked_noise_levels_fresh_seeds", unlocked_levels(levels))
    return figures


def arm_title(confirmation: ConfirmationPhase, name: str) -> str:
    """An arm of the confirmation, as tables and figures show it."""
    return title(confirmation.arms[name], confirmation.run(name, confirmation.plan.first_seed).experiment)


def proxy_size(file: StudyFile) -> str:
    """What to say of the search where it trained smaller runs than the confirmation."""
    return " at the proxy's size" if file.study.proxy else ""


def order_title(run: Run) -> str:
    """The order of a run's curriculum, as figures of the search show it."""
    if is_ordinary(run.experiment):
        return ORDINARY
    if run.experiment.curriculum.canonical().order.all_at_once:
        return "moving density"
    return str(run.experiment.curriculum.order.to_dict()["kind"]).replace("_", " ")


def _stages(run: Run, curve: Curve) -> StageHistory:
    resolved = curriculum_of(run.experiment)
    return StageHistory(
        total_images=run.experiment.training.total_images,
        edges=resolved.edges,
        permutation=resolved.permutation,
        switches=[(switch["images"], min(switch["stage"], len(resolved.permutation))) for switch in curve.switches],
        stopped_at=curve.images[-1] if curve.images[-1] < run.experiment.training.total_images else None,
    )
