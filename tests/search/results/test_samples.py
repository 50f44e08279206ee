"""The samples that a report shows side by side."""

from pathlib import Path

import pytest
from PIL import Image
from support.study import MakeSearch
from support.theatre import Theatre, confirmation_of
from support.workplace import Workplace

from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.results.figures import arm_title
from curriculum_search.search.results.samples import samples_of, small_grid


@pytest.fixture
def confirmation(workplace: Workplace, make_search: MakeSearch) -> ConfirmationPhase:
    """One that was played, with grids in all of its runs."""
    search = make_search(workplace.load("study.trials=4"))
    Theatre(search).play()
    confirmation = confirmation_of(search)
    Theatre(confirmation).play()
    for folder in (search.store.root / "runs").iterdir():
        Image.new("L", (32, 32), 200).save(folder / "samples.png")
        (folder / "samples").mkdir()
        for images in range(16, 320, 16):
            Image.new("L", (32, 32), images // 2).save(folder / "samples" / f"{images}.png")
    return confirmation


def test_samples_are_of_the_reference_and_the_winner_on_the_same_seeds_with_gaps_between_images(
    confirmation: ConfirmationPhase,
) -> None:
    leader = confirmation.plan.leaders[0]
    found = samples_of(confirmation, leader)
    assert [samples.seed for samples in found] == [1, 2]
    assert list(found[0].grids) == [arm_title(confirmation, name) for name in (confirmation.plan.reference, leader)]
    (grid, _) = found[0].grids.values()
    assert grid.startswith(b"\x89PNG")


def test_where_nobody_has_won_the_first_leader_is_shown(confirmation: ConfirmationPhase) -> None:
    leader = samples_of(confirmation, confirmation.plan.leaders[0])
    assert samples_of(confirmation, None) == leader
    assert samples_of(confirmation, confirmation.plan.reference) == leader


def test_runs_without_samples_show_none(confirmation: ConfirmationPhase) -> None:
    for grid in confirmation.store.root.glob("runs/*/samples.png"):
        grid.unlink()
    assert samples_of(confirmation, None) == []


def test_samples_of_earlier_evaluations_are_of_the_first_seed_and_few_where_there_are_many(
    confirmation: ConfirmationPhase,
) -> None:
    first, *others = samples_of(confirmation, None)
    assert list(first.earlier) == [16, 48, 80, 112, 160, 192, 224, 256, 304]
    assert all(grids.keys() == first.grids.keys() for grids in first.earlier.values())
    assert first.total_images == 320
    assert [samples.earlier for samples in others] == [{}]


def test_a_large_grid_is_made_smaller(tmp_path: Path) -> None:
    Image.effect_noise((2048, 2048), 80).save(tmp_path / "grid.png")
    small = small_grid(tmp_path / "grid.png", 16, 1024)
    assert small[8:12] == b"WEBP"
    assert len(small) < (tmp_path / "grid.png").stat().st_size / 4
