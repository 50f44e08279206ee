"""Images that have changed under the results of a study or a run: nobody is handed the old numbers for the new ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.runs.folder import RunFolder
from curriculum_search.search.driver import check_same_study, write_fingerprint


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(12):
        save(folder / f"{i}.png", i)
    return folder


def save(path: Path, i: int) -> None:
    Image.fromarray(np.full((8, 8), 10 + i, dtype=np.uint8)).save(path)


def test_a_study_does_not_go_on_with_other_images(workplace: Workplace, pictures: Path, tmp_path: Path) -> None:
    data = f"base.data={{kind: folder, path: '{pictures}'}}"
    folder = tmp_path / "tiny"
    folder.mkdir()
    file = workplace.load(data)
    write_fingerprint(folder, file)
    check_same_study(folder, workplace.load(data))
    save(pictures / "3.png", 100)
    (pictures / "4.png").unlink()
    with pytest.raises(UserError) as error:
        check_same_study(folder, workplace.load(data))
    assert str(error.value).startswith(f"{file.path}: base.data: the images are not those that the runs in {folder} ")
    assert "there are now pictures 8x8: 11 grey images of 8x8 pixels; no labels" in str(error.value)


def test_a_fingerprint_of_before_images_were_part_of_it_still_fits(workplace: Workplace, tmp_path: Path) -> None:
    file = workplace.load()
    (tmp_path / "study.json").write_text(file.fingerprint().replace('"data": [', '"formerly": ['))
    check_same_study(tmp_path, file)
    assert file.differences(file.fingerprint().replace('"data": ["', '"data": ["other')) == ["data"]


def test_a_study_goes_on_that_kept_as_many_decoded_images_as_was_usual_then(
    workplace: Workplace, pictures: Path, tmp_path: Path
) -> None:
    file = workplace.load(f"base.data={{kind: folder, path: '{pictures}'}}")
    before = file.fingerprint().replace('"cache_gib": null', '"cache_gib": 1.0')
    assert before != file.fingerprint()
    (tmp_path / "study.json").write_text(before)
    check_same_study(tmp_path, file)
    resolved = file.write_resolved(tmp_path)
    resolved.write_text(resolved.read_text().replace("cache_gib: null", "cache_gib: 1.0"))
    (tmp_path / "study.json").write_text("damaged")
    check_same_study(tmp_path, file)


def test_a_run_on_its_own_knows_its_images(workplace: Workplace, pictures: Path, tmp_path: Path) -> None:
    experiment = workplace.load(f"base.data={{kind: folder, path: '{pictures}'}}").base
    folder = RunFolder(tmp_path / "run")
    folder.path.mkdir()
    assert folder.check_data(experiment) == ""  # of a run that says nothing of them, nothing is known
    folder.write_data(experiment)
    assert folder.check_data(experiment) == ""
    for i in range(12, 20):
        save(pictures / f"{i}.png", i)
    changed = workplace.load(f"base.data={{kind: folder, path: '{pictures}'}}").base
    assert "was trained on (pictures 8x8: 12 grey images of 8x8 pixels; no labels; now pictures 8x8: 20 grey" in (
        folder.check_data(changed)
    )


def test_a_study_that_was_measured_by_another_version_does_not_go_on(workplace: Workplace, tmp_path: Path) -> None:
    frechet = "base.evaluation.evaluators=[{kind: frechet, num_samples: 250}]"
    file = workplace.load("study.objective=fd_classifier_250", frechet)
    write_fingerprint(tmp_path, file)
    check_same_study(tmp_path, file)
    before = json.loads(file.fingerprint())
    del before["base"]["evaluation"]["evaluators"][0]["extractor"]["version"]  # there was none
    (tmp_path / "study.json").write_text(json.dumps(before))
    with pytest.raises(UserError, match="were measured by another version of this project, whose values of the same"):
        check_same_study(tmp_path, file)
    before["base"]["training"]["batch_size"] += 1
    (tmp_path / "study.json").write_text(json.dumps(before))
    with pytest.raises(UserError, match="with another base; give the changed study another name"):
        check_same_study(tmp_path, file)
