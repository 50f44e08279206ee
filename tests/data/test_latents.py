"""Latents as a data source: whatever their form, they are read as those that were encoded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.conditions import labels_in
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
)

from curriculum_search.data import DataSource, ImageSet, Latents, LatentSet

ALL = np.arange(COUNT)


def loaded(path: Path | str, **fields: Any) -> LatentSet:
    source = Latents(path=str(path), **fields)
    source.check()
    found = source.load()
    assert isinstance(found, LatentSet)
    return found


@pytest.mark.parametrize(
    ("name", "write"), [("a.zip", edm2_zip), ("a", edm2_folder), ("b", fast_dit)], ids=["zip", "folder", "fast-DiT"]
)
def test_every_form_gives_the_same_latents_and_labels(tmp_path: Path, name: str, write: Callable[[Path], str]) -> None:
    found = loaded(write(tmp_path / name))
    assert (len(found), found.channels, found.resolution, found.num_classes) == (COUNT, 2, 4, 3)
    values, condition = found.read(ALL)
    np.testing.assert_allclose(values if write is fast_dit else values[:, 0], MEANS, rtol=1e-6)
    assert labels_in(condition) == LABELS.tolist()
    assert found.in_memory == (write is edm2_zip)
    if write is not fast_dit:
        assert values.shape == (COUNT, 2, 2, 4, 4)
        np.testing.assert_array_equal(values[:, 1], DEVIATIONS)


def test_twins_are_further_images_of_the_same_classes(tmp_path: Path) -> None:
    path = lightning_dit(tmp_path / "a")
    found = loaded(path)
    values, condition = found.read(np.array([0, COUNT, 2 * COUNT - 1]))
    np.testing.assert_array_equal(values, np.stack([MEANS[0], MEANS[0, ..., ::-1], MEANS[-1, ..., ::-1]]))
    assert labels_in(condition) == [0, 0, LABELS[-1]]
    assert found.summary == (
        "a 4x4: 24 latents of 2x4x4, half of them of mirrored images; 3 classes (8 to 8 images each)"
    )
    assert found.num_bytes == 2 * MEANS.nbytes
    assert len(loaded(path, use_twins=False)) == COUNT


def test_log_variances_become_deviations_and_a_factor_is_taken_off(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.concatenate([MEANS, 2 * np.log(DEVIATIONS)], axis=1))
    values, _ = loaded(tmp_path / "a.npy", layout="mean_logvar").read(ALL)
    np.testing.assert_allclose(values[:, 0], MEANS, rtol=1e-6)
    np.testing.assert_allclose(values[:, 1], DEVIATIONS, rtol=1e-5)
    np.save(tmp_path / "b.npy", MEAN_STD * np.float32(0.5))
    values, _ = loaded(tmp_path / "b.npy", layout="mean_std", scale=0.5).read(ALL)
    np.testing.assert_allclose(values.flatten(1, 2), MEAN_STD, rtol=1e-6)


def test_labels_come_from_a_file_of_their_own_or_are_left_out(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MEANS.astype(np.float16))
    np.save(tmp_path / "y.npy", LABELS)
    found = loaded(tmp_path / "a.npy", layout="sample", labels_path=str(tmp_path / "y.npy"))
    assert found.labels is not None
    assert found.labels.tolist() == LABELS.tolist()
    assert found.read(ALL)[0].dtype.itemsize == 2  # halves stay halves until they are on the device
    assert loaded(edm2_zip(tmp_path / "b.zip"), use_labels=False).labels is None


def test_changes_of_files_and_of_fields_change_the_fingerprint(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", MEANS)
    first = loaded(tmp_path / "a.npy", layout="sample").fingerprint
    assert loaded(tmp_path / "a.npy", layout="sample", scale=2.0).fingerprint != first
    np.save(tmp_path / "a.npy", MEANS[:-1])
    assert loaded(tmp_path / "a.npy", layout="sample").fingerprint != first


def test_the_reference_is_images_where_some_are_named_and_else_the_latents(tmp_path: Path) -> None:
    path = edm2_zip(tmp_path / "a.zip")
    latents = Latents(path=path)
    assert latents.reference() is latents.load()
    np.save(tmp_path / "images.npy", np.zeros((5, 8, 8, 3), np.uint8))
    images: ImageSet = Latents(path=path, reference_path=str(tmp_path / "images.npy")).reference()
    assert (len(images), images.channels, images.resolution, images.encoded) == (5, 3, 8, False)
    smaller = Latents(path=path, reference_path=str(tmp_path / "images.npy"), reference_resolution=4).reference()
    assert smaller.resolution == 4


@pytest.mark.parametrize(
    ("array", "fields", "message"),
    [
        (MEAN_STD, {}, r"layout must say what the 4 channels are: sample, mean_std or mean_logvar"),
        (MEANS, {"layout": "mean_std"}, "has negative values, so they are no standard deviations; layout: mean_logvar"),
        (MEAN_STD, {"layout": "mean_logvar"}, "is all positive, as standard deviations are .* layout: mean_std"),
        (MEANS[:, :1], {"layout": "mean_std"}, "takes an even number of channels, mean and deviation, not 1"),
        (
            MEANS[..., :3],
            {"layout": "sample"},
            r"square floats \[C, H, H\], not float32 \[2, 4, 3\]: crop the images to squares",
        ),
        (
            MEANS.astype(np.uint8),
            {"layout": "sample"},
            r"must be square floats .*: these are images, .*\.kind array, folder or zip",
        ),
        (MEANS[:, 0], {"layout": "sample"}, "must be square floats .*: data.path is to have one such array for each"),
        (
            np.where(MEANS > 3, np.nan, MEANS),
            {"layout": "sample"},
            r"\d+ of 12 latents that were .* not finite, as number \d+: enc",
        ),
    ],
)
def test_what_the_numbers_cannot_be_is_said(
    tmp_path: Path, array: np.ndarray, fields: dict[str, Any], message: str
) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=message):
        Latents(path=str(tmp_path / "a.npy"), **fields).check()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "moments"}, "layout must be sample, mean_std, mean_logvar or null, not moments"),
        ({"scale": 0.0}, "scale must be above 0 or null, not 0.0"),
        ({"reference_resolution": 0}, "reference_resolution must be at least 1, not 0"),
    ],
)
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DataSource.from_dict({"kind": "latents", "path": "a.npy", **fields})


def test_a_path_that_is_not_there_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.zip does not exist"):
        Latents(path="nowhere.zip").check()
