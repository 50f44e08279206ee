"""What an evaluation finds out before anything is generated."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from support.arrays import save
from support.sources import AtHand

from curriculum_search.data import Digits, Folder, MemoryImages
from curriculum_search.diffusion import DDPM, EDM, HeunSampler
from curriculum_search.evaluation import (
    Evaluation,
    Evaluator,
    Frechet,
    Inception,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    ValidationLoss,
)


def test_the_defaults_pass_the_check_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Evaluation().check(DDPM(), Digits())


def test_a_sampler_that_does_not_fit_the_process_is_named() -> None:
    with pytest.raises(ValueError, match="ddim needs process ddpm, not edm"):
        Evaluation().check(EDM(), Digits())
    with pytest.raises(ValueError, match="heun needs process edm or flow, not ddpm"):
        Evaluation(sampler=HeunSampler()).check(DDPM(), Digits())


def test_guidance_and_a_classifier_need_labels() -> None:
    plain = Evaluation(evaluators=(ValidationLoss(),), final_evaluators=())
    unlabelled = Digits(use_labels=False)
    plain.check(DDPM(), unlabelled)
    with pytest.raises(ValueError, match=r"guidance_scale must be 1, not 2.0: digits 8x8 has no labels"):
        dataclasses.replace(plain, guidance_scale=2.0).check(DDPM(), unlabelled)
    with pytest.raises(ValueError, match="classifier learns from labels, and digits 8x8 has none: use another"):
        Evaluation().check(DDPM(), unlabelled)


def test_a_reference_of_another_resolution_is_named(digits: MemoryImages) -> None:
    large = Digits(resolution=16).load()
    message = r"training images have shape \(1, 8, 8\), the reference's \(1, 16, 16\): data\.resolution and .* \(data: "
    with pytest.raises(ValueError, match=message):
        Evaluation().check(DDPM(), AtHand(digits, large))


def test_a_reference_file_that_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stats.npz"

    def check(evaluator: Evaluator, **content: NDArray[Any]) -> None:
        save(path, **content)
        Evaluation(evaluators=(evaluator,), final_evaluators=()).check(DDPM(), Digits())

    frechet = Frechet(extractor=Pixels(), num_samples=500, reference_file=str(path))
    check(frechet, mu=np.zeros(64), sigma=np.eye(64))
    with pytest.raises(ValueError, match="statistics of 2048 features; extractor pca64 has 64"):
        check(frechet, mu=np.zeros(2048), sigma=np.eye(2048))
    images = np.zeros((4, 32, 32, 3), np.uint8)
    for evaluator in (frechet, PrecisionRecall(extractor=Pixels(), reference_file=str(path))):
        with pytest.raises(ValueError, match=r"images of shape \(3, 32, 32\), the data \(1, 8, 8\)"):
            check(evaluator, arr_0=images)
    with pytest.raises(ValueError, match="at most the 4 images of the reference, not 500"):
        check(KernelDistance(extractor=Pixels(), reference_file=str(path)), arr_0=images[:, :8, :8, :1])
    with pytest.raises(ValueError, match="statistics, not images"):
        check(KernelDistance(extractor=Pixels(), reference_file=str(path)), mu=np.zeros(64), sigma=np.eye(64))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"stats\.npz"):
        Evaluation(evaluators=(frechet,), final_evaluators=()).check(DDPM(), Digits())


def test_missing_weights_are_found_before_anything_starts() -> None:
    evaluator = Frechet(extractor=Inception(path="nowhere.pth"), num_samples=50_000)
    with pytest.raises(FileNotFoundError, match=r"path of extractor inception: nowhere\.pth does not exist"):
        Evaluation(final_evaluators=(evaluator,)).check(DDPM(), Digits())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evaluation(batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda: Evaluation(seed=4096), r"seed of an evaluation must be in 0\.\.4095, not 4096"),
        (lambda: Evaluation(final_evaluators=(ValidationLoss(),)), "yield val_loss, .* more than once"),
    ],
)
def test_settings_out_of_range_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def class_folders(root: Path, *names: str) -> str:
    for name in names:
        (root / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(root / name / "0.png")
    return str(root)


@pytest.mark.parametrize(
    ("train", "reference", "message"),
    [
        (
            (".",),
            ("a", "b"),
            r"the reference, reference 8x8, has 2 classes \(1 a, 1 b\) and the training images no labels",
        ),
        (("a", "b"), ("a", "b", "c"), "has 3 classes and the training images 2"),
        (
            ("a", "b", "c"),
            ("b", "c"),
            r"reference 8x8, has other classes \(b, c\) than the training images \(a, b, c\)",
        ),
    ],
)
def test_a_reference_whose_labels_mean_something_else_is_named(
    tmp_path: Path, train: tuple[str, ...], reference: tuple[str, ...], message: str
) -> None:
    labelled = Folder(
        path=class_folders(tmp_path / "train", *train),
        reference_path=class_folders(tmp_path / "reference", *reference),
    )
    settings = Evaluation(evaluators=(ValidationLoss(num_images=1),), final_evaluators=())
    with pytest.raises(ValueError, match=message):
        settings.check(DDPM(), labelled)
    settings.check(DDPM(), dataclasses.replace(labelled, use_labels=False))
