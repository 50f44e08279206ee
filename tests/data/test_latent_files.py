import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.latent_files import (
    COUNT,
    DEVIATIONS,
    LABELS,
    MEAN_STD,
    MEANS,
    edm2_folder,
    edm2_zip,
    fast_dit,
    lightning_dit,
    u_vit,
    u_vit_coco,
)

from curriculum_search.data.latent_files import PROVENANCE, find_latents, read_labels
from curriculum_search.tensor_file import write_tensors

ALL = np.arange(COUNT)


def test_a_npy_has_rows_and_says_nothing_else(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MEAN_STD)
    found = find_latents(tmp_path / "a.npy")
    np.testing.assert_array_equal(found.rows.read(ALL), MEAN_STD)
    assert (found.layout, found.scale, found.labels, found.twins) == (None, 1.0, None, None)


@pytest.mark.parametrize("write", [edm2_zip, edm2_folder])
def test_edm2s_and_repas_form_has_means_deviations_and_labels(tmp_path: Path, write: Callable[[Path], str]) -> None:
    found = find_latents(Path(write(tmp_path / "a.zip" if write is edm2_zip else tmp_path / "a")))
    np.testing.assert_array_equal(found.rows.read(ALL), MEAN_STD)
    assert found.layout == "mean_std"
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()


def test_lightning_dits_form_has_samples_and_twins_in_parts(tmp_path: Path) -> None:
    found = find_latents(Path(lightning_dit(tmp_path / "a")))
    np.testing.assert_array_equal(found.rows.read(ALL), MEANS)
    assert found.twins is not None
    np.testing.assert_array_equal(found.twins.read(ALL), MEANS[..., ::-1])
    assert found.layout == "sample"
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()
    assert find_latents(Path(lightning_dit(tmp_path / "b", twins=False))).twins is None


def test_fast_dits_form_has_scaled_samples_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    found = find_latents(Path(fast_dit(tmp_path / "a")))
    np.testing.assert_array_equal(found.rows.read(ALL), MEANS * np.float32(0.18215))
    assert (found.layout, found.scale) == ("sample", 0.18215)
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()


def test_u_vits_form_of_coco_has_means_and_log_variances_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    found = find_latents(Path(u_vit_coco(tmp_path / "a")))
    moments = np.concatenate([MEANS, 2 * np.log(DEVIATIONS)], axis=1)
    np.testing.assert_array_equal(found.rows.read(ALL), moments)
    assert (found.layout, found.scale, found.labels) == ("mean_logvar", 1.0, None)


def test_what_has_none_of_the_forms_is_told_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    with pytest.raises(ValueError, match=r"pictures: no latents that are known here: \.npy, a zip or folder with data"):
        find_latents(tmp_path / "pictures")
    with pytest.raises(ValueError, match=r"0\.npy: holds pickled objects, as U-ViT's"):
        find_latents(Path(u_vit(tmp_path / "u-vit")))


def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path) -> None:
    path = Path(fast_dit(tmp_path / "two"))
    (path / "imagenet256_labels" / "3.npy").unlink()
    with pytest.raises(ValueError, match=r"1 files are in one of them only, as 3\.npy"):
        find_latents(path)
    path = Path(edm2_folder(tmp_path / "edm2"))
    pairs = json.loads((path / "dataset.json").read_text())["labels"]
    (path / "dataset.json").write_text(json.dumps({"labels": pairs[1:]}))
    with pytest.raises(ValueError, match=r"dataset\.json: 1 of 12 latents have no label, as 00000/img-mean-std"):
        find_latents(path)
    (path / "dataset.json").write_text("[]")
    with pytest.raises(ValueError, match=r'dataset\.json is not {"labels": \[\[name, class\]'):
        find_latents(path)
    (tmp_path / "no.zip").write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"no\.zip is not a zip archive that can be read"):
        find_latents(tmp_path / "no.zip")
    np.save(tmp_path / "labels.npy", LABELS[:5])
    with pytest.raises(ValueError, match=r"labels\.npy: labels must be 12 integers, not int64 \[5\]"):
        read_labels(tmp_path / "labels.npy", COUNT)


def test_parts_that_differ_are_named(tmp_path: Path) -> None:
    path = Path(lightning_dit(tmp_path / "a"))
    write_tensors(path / "z.safetensors", {"latents": MEANS[:, :1]}, {})
    with pytest.raises(ValueError, match=r"some files have latents_flip and some have not, as z\.safetensors"):
        find_latents(path)
    write_tensors(path / "z.safetensors", {"images": MEANS}, {})
    with pytest.raises(ValueError, match=r"z\.safetensors: no tensor latents, only images"):
        find_latents(path)


def part(folder: Path, number: int, parts: int, encoder: str) -> None:
    folder.mkdir(exist_ok=True)
    words = json.dumps({"layout": "mean_std", "encoder": encoder, "part": number, "parts": parts})
    write_tensors(folder / f"{number}.safetensors", {"latents": MEAN_STD[:4]}, {PROVENANCE: words})


def test_what_was_encoded_here_is_whole_and_of_one_encoder(tmp_path: Path) -> None:
    for number in (0, 2):
        part(tmp_path / "a", number, 3, "one")
    with pytest.raises(ValueError, match=r"a: 1 of 3 parts are missing; the same jobs/encode\.py goes on"):
        find_latents(tmp_path / "a")
    part(tmp_path / "a", 1, 3, "another")
    with pytest.raises(ValueError, match=r"1\.safetensors was encoded from something else, or by another encoder"):
        find_latents(tmp_path / "a")
    part(tmp_path / "a", 1, 3, "one")
    found = find_latents(tmp_path / "a")
    assert (found.layout, found.provenance["encoder"], len(found.rows)) == ("mean_std", "one", 12)
    shutil.rmtree(tmp_path / "a")
