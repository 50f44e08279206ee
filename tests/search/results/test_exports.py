"""What a study exports beside its best config; runs are played, not trained."""

import json
import math
import zlib
from collections.abc import Callable
from dataclasses import replace

import pytest
import yaml
from support import theatre
from support.study import MakeSearch
from support.theatre import Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.curriculum import CurriculumFile
from curriculum_search.diffusion import Histogram
from curriculum_search.experiment import Experiment
from curriculum_search.export import DENSITY, DENSITY_CURRICULUM
from curriculum_search.loading import load_experiment
from curriculum_search.search.results.publish import StudyResult, publish

LIMITS = (
    "study.trials=4",
    "study.baselines=[no_curriculum]",
    "study.confirmation={min_seeds: 3, max_seeds: 4}",
)
#: Plays the study in which the leader is better by 0.1 and its exposure alone by what is given, and publishes it.
PublishWith = Callable[[float], StudyResult]


@pytest.fixture
def publish_with(workplace: Workplace, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch) -> PublishWith:
    def play(gain: float) -> StudyResult:
        def value(experiment: Experiment) -> float:
            order = str(experiment.curriculum.order.to_dict()["kind"])
            density = str(experiment.density.to_dict()["kind"])
            noise = zlib.crc32(f"{order} {density} {experiment.seed}".encode()) / 2**32
            helps = 0.1 if order == "easy_to_hard" else gain if density == "histogram" else 0.0
            return 1.0 + abs(math.log10(experiment.training.learning_rate / 2e-3)) - helps + 0.01 * noise

        monkeypatch.setattr(theatre, "final_value", value)
        file = workplace.load(*LIMITS)
        search = make_search(file)
        Theatre(search).play()
        confirmation = confirmation_of(search)
        Theatre(confirmation).play()
        return publish(file, search.store, search, confirmation, ablation_of(confirmation))

    return play


def test_a_density_that_does_as_well_is_exported_beside_the_leader_and_trains(
    publish_with: PublishWith, workplace: Workplace, capsys: pytest.CaptureFixture[str], no_ray: None
) -> None:
    result = publish_with(0.097)
    folder = result.best_path.parent
    assert result.arm.startswith("trial ")
    assert result.density_path == folder / DENSITY
    head = result.density_path.read_text()
    assert head.startswith(
        f"# Constant density of study tiny with the exposure of {result.arm}, in no order.\n#\n# Trial "
    )
    assert "# What to do next: try best_density.yaml, which is simpler to train and" in head
    density, _ = load_experiment(result.density_path, {})
    assert isinstance(density.density, Histogram)
    assert density.curriculum.order.all_at_once
    assert replace(density, density=result.best.density, curriculum=result.best.curriculum) == result.best
    file = CurriculumFile.load(folder / DENSITY_CURRICULUM)
    assert file.density == density.density
    assert file.evidence["arm"] == f"{result.arm} / exposure"
    assert file.evidence["verdict"]["headline"] == result.layers.headline
    assert f"Exposure:     {result.density_path}, a constant density" in capsys.readouterr().out
    status, out, err = workplace.call("train", result.density_path)
    assert (status, err) == (0, "")
    assert "finished after 320 images" in out


def test_a_density_that_does_worse_is_not_exported_and_one_of_an_earlier_verdict_is_removed(
    publish_with: PublishWith, workplace: Workplace
) -> None:
    stale = [workplace.results / "tiny" / name for name in (DENSITY, DENSITY_CURRICULUM)]
    stale[0].parent.mkdir()
    for path in stale:
        path.write_text("of an earlier verdict")
    result = publish_with(0.0)
    assert result.arm.startswith("trial ")
    assert result.density_path is None
    assert not any(path.exists() for path in stale)
    evidence = json.loads(result.curriculum_path.read_text())["evidence"]["verdict"]
    assert evidence["Order or exposure"].startswith("the order matters; ")


def test_a_density_that_wins_is_the_best_config_itself(publish_with: PublishWith) -> None:
    result = publish_with(0.3)
    assert result.arm.endswith(" / exposure")
    assert result.density_path is None
    assert yaml.safe_load(result.best_path.read_text())["density"]["kind"] == "histogram"
    assert "'s exposure alone beats ordinary training: " in result.layers.headline
