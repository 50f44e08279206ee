"""The figures of a study: curves, stages and the Pareto set of the search; curves and stages of the confirmation."""

from pathlib import Path

from matplotlib.figure import Figure

from curriculum_search.export import curriculum_of
from curriculum_search.report import Scored, StageHistory, convergence, pareto, unlocked, unlocked_levels
from curriculum_search.search.arms import title
from curriculum_search.search.book.runs import Curve, RunBook
from curriculum_search.search.confirm import ConfirmationPhase, is_ordinary
from curriculum_search.search.phases import Entry, SearchPhase
from curriculum_search.search.study import StudyFile

_ORDINARY = "no curriculum"


def write_figures(
    file: StudyFile, book: RunBook, search: SearchPhase, confirmation: ConfirmationPhase
) -> dict[str, Path]:
    """Draw them into the study's folder ``figures``.

    Returns:
        Caption to file.
    """
    folder = book.root / "figures"
    folder.mkdir(exist_ok=True)
    files = {}
    figures = {**_of_search(file, book, search), **_of_confirmation(file, confirmation)}
    for caption, (name, figure) in figures.items():
        files[caption] = folder / f"{name}.png"
        figure.savefig(files[caption], dpi=130)
    return files


def _of_search(file: StudyFile, book: RunBook, search: SearchPhase) -> dict[str, tuple[str, Figure]]:
    # The same orders in each figure, so that they have the same colours.
    entries = search.entries()
    orders = dict.fromkeys(map(_order, entries))
    curves: dict[str, list[list[tuple[int, float]]]] = {order: [] for order in orders}
    stages: dict[str, list[StageHistory]] = {order: [] for order in orders}
    for entry in entries:
        curve = book.curve(entry.experiment.identity())
        curves[_order(entry)].append(curve.points(file.study.objective))
        if curve.switches:
            stages[_order(entry)].append(_stages(entry, curve))
    higher = [direction == "maximize" for direction in file.directions]
    size = proxy_size(file)
    figures = {
        f"Convergence by order, search{size}": (
            "convergence_by_order_search",
            convergence(
                curves,
                metric=file.study.objective,
                highlight="best",
                higher_is_better=higher[0],
                baseline=_ORDINARY,
            ),
        ),
        f"Unlocked clusters, search{size}": ("unlocked_clusters_search", unlocked(stages, baseline=_ORDINARY)),
    }
    if len(file.objectives) > 1:
        front = [candidate.arm.name for candidate in search.pareto()]
        scored: dict[str, list[Scored]] = {order: [] for order in orders}
        for candidate in search.finished():
            name = candidate.arm.name
            scored[_order(candidate.entry)].append(
                Scored(name=name.replace("_", " "), values=candidate.values, best=name in front)
            )
        figure = pareto(scored, objectives=file.objectives, higher_is_better=higher, baseline=_ORDINARY)
        figures[f"Objectives, search{size}"] = ("pareto", figure)
    return figures


def _of_confirmation(file: StudyFile, confirmation: ConfirmationPhase) -> dict[str, tuple[str, Figure]]:
    curves: dict[str, list[list[tuple[int, float]]]] = {}
    levels: dict[str, StageHistory] = {}
    for name in confirmation.arms:
        for seed in confirmation.results(name):
            entry = confirmation.entry(name, seed)
            curve = confirmation.curve(name, seed)
            curves.setdefault(arm_title(confirmation, name), []).append(curve.points(file.study.objective))
            if curve.switches and not is_ordinary(entry):
                levels.setdefault(arm_title(confirmation, name), _stages(entry, curve))
    figures = {}
    if curves:
        figures["Convergence by arm, fresh seeds"] = (
            "convergence_by_arm_fresh_seeds",
            convergence(
                curves,
                metric=file.study.objective,
                higher_is_better=file.direction == "maximize",
                baseline=_ORDINARY,
            ),
        )
    if levels:
        figures["Unlocked noise levels, fresh seeds"] = ("unlocked_noise_levels_fresh_seeds", unlocked_levels(levels))
    return figures


def arm_title(confirmation: ConfirmationPhase, name: str) -> str:
    """An arm of the confirmation, as tables and figures show it."""
    return title(confirmation.arms[name], confirmation.entry(name, confirmation.plan.first_seed).experiment)


def proxy_size(file: StudyFile) -> str:
    """What to say of the search where it trained smaller runs than the confirmation."""
    return " at the proxy's size" if file.study.proxy else ""


def _order(entry: Entry) -> str:
    if is_ordinary(entry):
        return _ORDINARY
    return str(entry.experiment.curriculum.order.to_dict()["kind"]).replace("_", " ")


def _stages(entry: Entry, curve: Curve) -> StageHistory:
    resolved = curriculum_of(entry.experiment)
    return StageHistory(
        total_images=entry.experiment.training.total_images,
        edges=resolved.edges,
        permutation=resolved.permutation,
        switches=[(switch["images"], min(switch["stage"], len(resolved.permutation))) for switch in curve.switches],
        stopped_at=curve.images[-1] if curve.images[-1] < entry.experiment.training.total_images else None,
    )
