"""Reference statistics: computed once, and kept under a hash."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.data import MemoryImages
from curriculum_search.evaluation import Pixels, Sources
from curriculum_search.evaluation.features import Features
from curriculum_search.evaluation.reference import References

CPU = torch.device("cpu")
PCA = Pixels(num_components=12)


@pytest.fixture
def features(digits: MemoryImages, cache_dir: Path) -> Features:
    return PCA.load(Sources(train=digits, reference=digits, device=CPU, cache_dir=cache_dir))


def references(digits: MemoryImages, features: Features, folder: Path) -> References:
    return References(digits, {PCA: features}, folder, CPU, batch_size=100)


def all_rows(digits: MemoryImages, features: Features) -> Tensor:
    return features(digits.read(np.arange(len(digits)))[0]).double()


def test_statistics_are_those_of_all_reference_images(digits: MemoryImages, features: Features, tmp_path: Path) -> None:
    found, rows = references(digits, features, tmp_path).gaussian(PCA, None), all_rows(digits, features)
    torch.testing.assert_close(found.mean, rows.mean(0), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.factor @ found.factor.T, rows.T.cov(), rtol=1e-6, atol=1e-6)
    assert found.count == len(digits)


def test_statistics_are_computed_once_and_then_read(
    digits: MemoryImages, features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = references(digits, features, tmp_path)
    gaussian, rows = first.gaussian(PCA, None), first.rows(PCA, None, 50)
    monkeypatch.setattr(References, "_extract", lambda *_: pytest.fail("computed again"))
    again = references(digits, features, tmp_path)
    assert torch.equal(again.gaussian(PCA, None).factor, gaussian.factor)
    assert torch.equal(again.rows(PCA, None, 50), rows)


def test_the_hash_changes_with_images_and_extractor(digits: MemoryImages, features: Features, tmp_path: Path) -> None:
    names = {references(digits, features, tmp_path).words(PCA, None)}
    other = dataclasses.replace(PCA, num_components=5)
    loaded = other.load(Sources(train=digits, reference=digits, device=CPU, cache_dir=tmp_path))
    names.add(References(digits, {other: loaded}, tmp_path, CPU, 100).words(other, None))
    images = MemoryImages("digits 8x8", digits.images[::-1].copy(), None)
    names.add(references(images, features, tmp_path).words(PCA, None))
    assert len(names) == 3


def test_rows_are_a_fixed_choice_of_distinct_images(digits: MemoryImages, features: Features, tmp_path: Path) -> None:
    there, whole = references(digits, features, tmp_path), all_rows(digits, features).float()
    rows = there.rows(PCA, None, 50)
    assert rows.shape == (50, 12)
    places = torch.cdist(rows, whole).argmin(1)
    assert len(set(places.tolist())) == 50
    torch.testing.assert_close(rows, whole[places], rtol=1e-4, atol=1e-5)
    assert there.rows(PCA, None, 5_000).shape == (len(digits), 12)


def test_a_file_takes_the_place_of_the_data(digits: MemoryImages, features: Features, tmp_path: Path) -> None:
    statistics, images = tmp_path / "stats.npz", tmp_path / "images.npz"
    np.savez(statistics, mu=np.arange(12.0), sigma=2 * np.eye(12))
    np.savez(images, arr_0=digits.images[:300].transpose(0, 2, 3, 1))
    there = references(digits, features, tmp_path / "cache")
    assert torch.equal(there.gaussian(PCA, str(statistics)).mean, torch.arange(12.0).double())
    expected = all_rows(digits, features)[:300]
    torch.testing.assert_close(there.gaussian(PCA, str(images)).mean, expected.mean(0), rtol=0, atol=1e-6)
    assert there.rows(PCA, str(images), 10).shape == (10, 12)
    assert "statistics in" in there.words(PCA, str(statistics))
    assert "SHA-256" in there.words(PCA, str(statistics))
    assert "300 of 300 images of images.npz" in there.words(PCA, str(images))


def test_statistics_of_another_dimension_are_named(digits: MemoryImages, features: Features, tmp_path: Path) -> None:
    path = tmp_path / "stats.npz"
    np.savez(path, mu=np.zeros(3), sigma=np.eye(3))
    with pytest.raises(ValueError, match=r"stats.npz has statistics of 3 features; extractor pca12 has 12"):
        references(digits, features, tmp_path / "cache").gaussian(PCA, str(path))


def test_features_of_the_reference_that_are_not_finite_are_named(
    digits: MemoryImages, features: Features, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(features), "__call__", lambda self, images: torch.full((len(images), 12), torch.nan))
    with pytest.raises(ValueError, match="features that are not finite for images of digits 8x8"):
        references(digits, features, tmp_path).gaussian(PCA, None)
