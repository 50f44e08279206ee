"""Features that a small network learns from labels."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.data import Digits, MemoryImages
from curriculum_search.evaluation import Classifier, Sources
from curriculum_search.evaluation.features.classifier import ClassifierNetwork


def test_the_classifier_tells_classes_that_it_was_not_shown(
    sources: Sources, digits: MemoryImages, classifier: Classifier
) -> None:
    features = classifier.load(sources)
    held_out = np.arange(9, len(digits), 10)
    images, _ = digits.read(held_out)
    with torch.no_grad():
        rows, probabilities = features.with_probabilities(images)
        assert torch.equal(features(images), rows)
    assert rows.shape == (len(held_out), features.dimension) == (len(held_out), 16)
    assert digits.labels is not None
    assert probabilities.argmax(1).eq(torch.from_numpy(digits.labels[held_out])).double().mean() > 0.7
    torch.testing.assert_close(probabilities.sum(1), torch.ones(len(held_out)))
    assert "right on held-out images" in features.words


def test_the_classifier_is_the_same_whatever_the_threads_and_the_random_state(sources: Sources, tmp_path: Path) -> None:
    small = Classifier(num_features=8, training_images=512)
    checksums = set()
    for threads, folder in ((1, "a"), (2, "b")):
        torch.manual_seed(threads)
        torch.set_num_threads(threads)
        before = torch.random.get_rng_state()
        checksums.add(small.load(dataclasses.replace(sources, cache_dir=tmp_path / folder)).checksum)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.random.get_rng_state(), before)
    torch.set_num_threads(1)
    assert len(checksums) == 1
    other = dataclasses.replace(small, seed=1).load(dataclasses.replace(sources, cache_dir=tmp_path / "a"))
    assert other.checksum not in checksums


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_the_classifier_learns_also_where_gradients_are_off(
    sources: Sources, tmp_path: Path, off: Callable[[], AbstractContextManager[None]]
) -> None:
    small = Classifier(num_features=8, training_images=256)
    with off():
        first = small.load(dataclasses.replace(sources, cache_dir=tmp_path / "off")).checksum
    assert first == small.load(dataclasses.replace(sources, cache_dir=tmp_path / "on")).checksum


def test_the_classifier_is_trained_once(sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small, there = Classifier(num_features=8, training_images=256), dataclasses.replace(sources, cache_dir=tmp_path)
    first = small.load(there).checksum
    monkeypatch.setattr(Classifier, "_train", lambda *_: pytest.fail("trained again"))
    assert small.load(there).checksum == first


def test_the_classifier_needs_labels(sources: Sources) -> None:
    unlabelled = Digits(use_labels=False).load()
    with pytest.raises(ValueError, match="extractor classifier learns from labels, and digits 8x8 has none"):
        Classifier().check(unlabelled, unlabelled)


def test_features_are_computed_without_the_short_products_of_a_gpu(
    sources: Sources, images: Tensor, classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    features, short = classifier.load(sources), []

    def forward(network: ClassifierNetwork, images: Tensor) -> tuple[Tensor, Tensor]:
        short.append(torch.backends.cudnn.allow_tf32)
        return images, images

    monkeypatch.setattr(ClassifierNetwork, "forward", forward)
    before = torch.backends.cudnn.allow_tf32
    features(images)
    features.with_probabilities(images)
    assert short == [False, False]
    assert torch.backends.cudnn.allow_tf32 == before


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match="num_features of extractor classifier must be at least 1, not 0"):
        Classifier(num_features=0)
    with pytest.raises(ValueError, match=r"seed of extractor classifier must be in 0\.\.9223372036854775807, not -1"):
        Classifier(seed=-1)
