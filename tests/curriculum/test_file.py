import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from curriculum_search.curriculum import Curriculum, CurriculumFile, Plateau, RandomOrder, Replay, VariedExponential
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    Beta,
    Density,
    Flow,
    LossSecondMoment,
    NoWeighting,
    Process,
    Uncertainty,
)


@pytest.mark.parametrize(
    ("curriculum", "process", "density"),
    [
        (Curriculum(pacing=VariedExponential()), DDPM(schedule="cosine"), Beta(a=2.0, b=3.0)),
        (Curriculum(order=RandomOrder(seed=2), accumulation=Replay(), reset_ema=True), EDM(p_mean=-0.8), Beta()),
        (Curriculum(pacing=Plateau(gate="smoothed")), Flow(), LossSecondMoment(num_bins=10)),
    ],
)
def test_a_file_read_again_draws_the_same(
    curriculum: Curriculum, process: Process, density: Density, tmp_path: Path
) -> None:
    file = curriculum.resolve(process, density, 1000, 10)
    file.save(tmp_path / "curriculum.json")
    again = CurriculumFile.load(tmp_path / "curriculum.json")
    assert again == file
    u = torch.linspace(0, 0.999, 100)
    ours, theirs = curriculum.build(process, density, 1000, 10, "cpu"), again.sampler("cpu")
    for images in range(10, 1001, 10):
        q = ours.draw(u)[0]
        assert torch.equal(q, theirs.draw(u)[0])
        for sampler in (ours, theirs):
            sampler.observe(q, q + 1)
            sampler.update(images)
    assert ours.history == theirs.history


def test_evidence_is_kept_and_the_budget_can_be_another(tmp_path: Path) -> None:
    file = CurriculumFile(
        **{**vars(Curriculum().resolve(DDPM(), Beta(), 1000, 10)), "evidence": {"fid": 3.5, "seeds": [1, 2]}}
    )
    file.save(tmp_path / "curriculum.json")
    again = CurriculumFile.load(tmp_path / "curriculum.json")
    assert again.evidence == {"fid": 3.5, "seeds": [1, 2]}
    longer = again.sampler("cpu", total_images=10_000)
    longer.update(1000)
    assert again.sampler("cpu").total_images == 1000
    assert longer.stage == 4  # a tenth of the budget, a fifth of the curriculum: four of 20 clusters


def test_what_is_learned_of_a_weighting_and_the_encoder_are_kept_and_are_not_there_where_there_are_none(
    tmp_path: Path,
) -> None:
    path = tmp_path / "curriculum.json"
    file = Curriculum().resolve(DDPM(), Beta(), 1000, 10)
    file.save(path)
    assert not {"weighting", "encoder"} & json.loads(path.read_text()).keys()
    encoder = {"kind": "undecoded", "scale": [0.5, 2.0], "shift": 0.1}
    replace(file, weighting=Uncertainty(base=NoWeighting(), channels=8), encoder=encoder).save(path)
    again = CurriculumFile.load(path)
    assert again.weighting == Uncertainty(base=NoWeighting(), channels=8)
    assert again.encoder == encoder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "needs format 'curriculum-search curriculum' and version 1"),
        ({"format": "other"}, "needs format"),
        ({"edges": [0.0, 0.6, 0.5, 1.0]}, "edges must be strictly increasing from 0 to 1"),
        ({"permutation": [0, 0, 1]}, r"permutation must be each of 0\.\.2 once"),
        ({"union_density": "even"}, "union_density must be one of base, equal"),
        ({"pacing": {"kind": "sine"}}, "kind 'sine' is not one of"),
        ({"pacing": {"kind": "linear", "power": 2}}, "power: no such field"),
        ({"pacing": {"kind": "linear", "end_share": -1.0}}, "end_share must be positive"),
        ({"weighting": {"kind": "min_snr"}}, r"weighting must be one that is learned, not MinSNR\("),
        ({"total_images": 0}, "total_images must be at least 1"),
        ({"colour": "red"}, "unexpected keyword argument 'colour'"),
        ({"edges": 3}, "not iterable"),
    ],
)
def test_a_damaged_file_is_an_error_that_names_file_and_field(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "curriculum.json"
    Curriculum(num_clusters=3).resolve(DDPM(), Beta(), 1000, 10).save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"curriculum\.json is not a curriculum file: .*{message}"):
        CurriculumFile.load(path)


def test_a_missing_field_and_a_missing_file_are_errors_that_name_them(tmp_path: Path) -> None:
    path = tmp_path / "curriculum.json"
    with pytest.raises(ValueError, match=r"curriculum\.json cannot be read \(No such file"):
        CurriculumFile.load(path)
    Curriculum(num_clusters=3).resolve(DDPM(), Beta(), 1000, 10).save(path)
    fields = json.loads(path.read_text())
    del fields["pacing"]
    path.write_text(json.dumps(fields))
    with pytest.raises(ValueError, match="'pacing' is missing"):
        CurriculumFile.load(path)


# As version 0.1.0 wrote it.
EARLIER = """{
 "format": "curriculum-search curriculum", "version": 1,
 "process": {"kind": "ddpm", "schedule": "linear", "num_timesteps": 1000, "prediction": "epsilon",
  "learned_variance": false},
 "edges": [0.0, 0.191, 0.5, 1.0], "permutation": [2, 1, 0],
 "accumulation": {"kind": "cumulative"}, "union_density": "base",
 "pacing": {"kind": "plateau", "gate": "raw", "patience_share": 0.01, "delta": 0.0, "smoothing_share": 0.005,
  "checks_per_patience": 4, "window_steps": 8, "max_stage_share": 0.1, "end_share": 0.5},
 "reset_ema": false, "density": {"kind": "histogram", "edges": [0.0, 1.0], "mass": [1.0]},
 "total_images": 64000, "batch_size": 128, "evidence": {"fd": 2.9}
}"""


def test_a_file_and_a_state_of_an_earlier_version_are_read(tmp_path: Path) -> None:
    path = tmp_path / "curriculum.json"
    path.write_text(EARLIER)
    sampler = CurriculumFile.load(path).sampler("cpu")
    for step in range(1, 11):
        sampler.observe(torch.full((4,), 0.9), torch.ones(4))
        sampler.update(128 * step)
    state = sampler.state_dict()
    del state["trace"]["silent_steps"], state["trace"]["heard"]
    resumed = CurriculumFile.load(path).sampler("cpu")
    resumed.load_state_dict(state)
    assert resumed.state_dict() == sampler.state_dict()
