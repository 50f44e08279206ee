"""The figures of a study: which there are, and what they are drawn from; runs are played, not trained."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure
from support.study import MakeSearch
from support.theatre import Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.report import StageHistory, convergence, unlocked_levels
from curriculum_search.runs.job import Job
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.phases.search import SearchPhase
from curriculum_search.search.results import figures
from curriculum_search.search.results.figures import arm_title, proxy_size, write_figures
from curriculum_search.training import Report

Played = tuple[SearchPhase, ConfirmationPhase]


class Unlocking(Theatre):
    """A theatre whose curricula unlock their last clusters at half of the run."""

    def run(self, job: Job) -> None:
        if not job.experiment.curriculum.canonical().order.all_at_once:
            switch = {"images": 80, "stage": job.experiment.curriculum.num_clusters}
            metrics = {"val_loss": 3.0, "unlocked_share": 1.0}
            self.phase.reported(job, Report(images=40, metrics=metrics, switches=(switch,)))
        super().run(job)


@pytest.fixture
def played(workplace: Workplace, make_search: MakeSearch) -> Callable[..., Played]:
    """Searches and confirms with overrides."""

    def play(*overrides: str) -> Played:
        search = make_search(workplace.load("study.trials=4", *overrides))
        Unlocking(search).play()
        confirmation = confirmation_of(search)
        Unlocking(confirmation).play()
        return search, confirmation

    return play


def drawn(search: SearchPhase, confirmation: ConfirmationPhase) -> dict[str, Path]:
    return write_figures(search.store.root / "figures", search, confirmation)


def test_a_study_has_the_curves_and_the_stages_of_search_and_confirmation(played: Callable[..., Played]) -> None:
    search, confirmation = played()
    files = drawn(search, confirmation)
    folder = search.store.root / "figures"
    assert files == {
        "Convergence by order, search": folder / "convergence_by_order_search.png",
        "Unlocked clusters, search": folder / "unlocked_clusters_search.png",
        "Convergence by arm, fresh seeds": folder / "convergence_by_arm_fresh_seeds.png",
        "Unlocked noise levels, fresh seeds": folder / "unlocked_noise_levels_fresh_seeds.png",
    }
    assert {path.read_bytes()[:4] for path in files.values()} == {b"\x89PNG"}
    assert sorted(folder.iterdir()) == sorted(files.values())


def test_figures_for_papers_are_vectors_too(played: Callable[..., Played], tmp_path: Path) -> None:
    search, confirmation = played("study.confirmation.leaders=0")
    files = write_figures(tmp_path / "beside", search, confirmation, vectors=True)
    for_papers = [path.with_suffix(suffix) for path in files.values() for suffix in (".pdf", ".svg")]
    assert sorted((tmp_path / "beside").iterdir()) == sorted([*files.values(), *for_papers])
    assert {path.read_bytes()[:5] for path in for_papers} == {b"%PDF-", b"<?xml"}


def test_several_objectives_have_a_figure_of_their_own(played: Callable[..., Played]) -> None:
    assert drawn(*played("study.secondary_objectives=[images_to_baseline]"))["Objectives, search"].name == "pareto.png"


def test_a_proxys_figures_say_whose_they_are(played: Callable[..., Played]) -> None:
    search, confirmation = played("study.proxy={model.hidden_size: 8}")
    captions = set(drawn(search, confirmation))
    assert {"Convergence by order, search at the proxy's size", "Convergence by arm, fresh seeds"} <= captions
    assert proxy_size(search.file) == " at the proxy's size"


def test_without_a_confirmation_there_are_the_searchs_alone(played: Callable[..., Played]) -> None:
    search, confirmation = played("study.confirmation.leaders=0")
    assert {path.name for path in drawn(search, confirmation).values()} == {
        "convergence_by_order_search.png",
        "unlocked_clusters_search.png",
    }


def test_the_curves_are_those_that_the_runs_have_reported_and_a_switch_is_the_stage_that_it_leads_to(
    played: Callable[..., Played], monkeypatch: pytest.MonkeyPatch
) -> None:
    search, confirmation = played()
    curves: dict[str, Sequence[object]] = {}
    histories: dict[str, StageHistory] = {}

    def draw_curves(given: Mapping[str, Sequence[Sequence[tuple[int, float]]]], **options: Any) -> Figure:
        curves.update(given)
        return convergence(given, **options)

    def draw_levels(given: Mapping[str, StageHistory]) -> Figure:
        histories.update(given)
        return unlocked_levels(given)

    monkeypatch.setattr(figures, "convergence", draw_curves)
    monkeypatch.setattr(figures, "unlocked_levels", draw_levels)
    drawn(search, confirmation)
    names = {name: arm_title(confirmation, name) for name in confirmation.arms}
    (leader,) = confirmation.plan.leaders
    assert {"no curriculum", "easy to hard", *names.values()} == set(curves)
    assert len(curves[names[leader]]) == len(confirmation.results(leader))
    for points in curves[names[leader]]:
        assert isinstance(points, list)
        assert [images for images, _ in points] == [40, 80, 160, 240, 320]
    # Ordinary training has no stages, nor has a constant density.
    assert set(histories) == {names["published"], names[leader]}
    history = histories[names[leader]]
    assert history.switches == [(80, len(history.permutation))]
    assert (history.total_images, history.stopped_at) == (320, None)
