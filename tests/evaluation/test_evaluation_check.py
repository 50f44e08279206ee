"""What an evaluation finds out before anything is generated."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from curriculum_search.data import Digits, Folder, ImageSet
from curriculum_search.diffusion import DDPM, EDM, HeunSampler
from curriculum_search.evaluation import (
    Classifier,
    Evaluation,
    Frechet,
    Inception,
    InceptionScore,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    ValidationLoss,
)


class Sources:
    """A data source made of two sets at hand."""

    def __init__(self, train: ImageSet, reference: ImageSet | None = None) -> None:
        self._train, self._reference = train, reference or train
        self.where = "memory"

    def load(self):
        return self._train

    def reference(self):
        return self._reference


def test_the_defaults_pass_the_check_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Evaluation().check(DDPM(), Digits())


def test_a_sampler_that_does_not_fit_the_process_is_named():
    with pytest.raises(ValueError, match="ddim needs process ddpm, not edm"):
        Evaluation().check(EDM(), Digits())
    with pytest.raises(ValueError, match="heun needs process edm or flow, not ddpm"):
        Evaluation(sampler=HeunSampler()).check(DDPM(), Digits())


def test_guidance_and_a_classifier_need_labels():
    plain = Evaluation(evaluators=(ValidationLoss(),), final_evaluators=())
    unlabelled = Digits(use_labels=False)
    plain.check(DDPM(), unlabelled)
    with pytest.raises(ValueError, match=r"guidance_scale must be 1, not 2.0: digits 8x8 has no labels"):
        dataclasses.replace(plain, guidance_scale=2.0).check(DDPM(), unlabelled)
    with pytest.raises(ValueError, match="classifier learns from labels, and digits 8x8 has none: use another"):
        Evaluation().check(DDPM(), unlabelled)


def test_a_reference_of_another_resolution_is_named(digits):
    large = Digits(resolution=16).load()
    with pytest.raises(ValueError, match=r"training images have shape \(1, 8, 8\), the reference's \(1, 16, 16\)"):
        Evaluation().check(DDPM(), Sources(digits, large))


def test_a_reference_file_that_does_not_fit_is_named(tmp_path):
    path = tmp_path / "stats.npz"

    def check(evaluator, **content):
        np.savez(path, **content)
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


def with_(covariance, place, value):
    covariance[place] = value
    return covariance


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"mu": np.full(64, np.nan), "sigma": np.eye(64)}, "mean or covariance of the reference is not finite"),
        ({"mu": np.zeros(64), "sigma": with_(np.eye(64), (3, 3), np.inf)}, "mean or covariance .* is not finite"),
        ({"mu": np.zeros(64), "sigma": with_(np.eye(64), (3, 3), -1.0)}, r"has a negative eigenvalue \(-1\)"),
        ({"mu": np.zeros(64), "sigma": -np.eye(64)}, r"has a negative eigenvalue \(-1\)"),
        ({"mu": np.zeros(64), "sigma": with_(np.eye(64), (3, 5), 0.5)}, r"is not symmetric: entries differ by 0\.5"),
        ({"mu": np.array(["a"] * 64), "sigma": np.eye(64)}, "mu and sigma that are not arrays of numbers"),
        ({"arr_0": np.zeros((1, 8, 8, 1), np.uint8)}, "has one image, and evaluator frechet needs 2 for a covariance"),
        ({"arr_0": np.zeros((0, 8, 8, 1), np.uint8)}, "no image in it"),
        ({"images": np.zeros((0, 1, 8, 8), np.uint8)}, "no image in it"),
    ],
)
@pytest.mark.parametrize("part", ["evaluators", "final_evaluators"])
def test_a_reference_file_that_can_give_no_distance_is_named_with_its_field(tmp_path, content, message, part):
    path = tmp_path / "stats.npz"
    np.savez(path, **content)
    frechet = Frechet(extractor=Pixels(), num_samples=500, reference_file=str(path))
    settings = Evaluation(**{"evaluators": (), "final_evaluators": (), part: (frechet,)})
    with pytest.raises(ValueError, match=rf"^{part}\.0: reference_file: .*stats\.npz.*{message}"):
        settings.check(DDPM(), Digits())


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_reference_file_of_too_few_images_for_neighbours_is_named_with_its_field(tmp_path, count):
    path = tmp_path / "few.npz"
    np.savez(path, arr_0=np.zeros((count, 8, 8, 1), np.uint8))
    evaluator = PrecisionRecall(extractor=Pixels(), reference_file=str(path))
    with pytest.raises(ValueError, match=r"^evaluators\.0: reference_file: .*few\.npz"):
        Evaluation(evaluators=(evaluator,), final_evaluators=()).check(DDPM(), Digits())


def test_covariances_that_were_summed_in_float32_or_have_no_full_rank_pass_the_check(tmp_path):
    rows = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    for i, sigma in enumerate((rows.T @ rows / 39, np.zeros((64, 64)), np.diag([1.0] * 3 + [0.0] * 61))):
        path = tmp_path / f"{i}.npz"
        np.savez(path, mu=rows.mean(0), sigma=sigma)
        frechet = Frechet(extractor=Pixels(), num_samples=500, reference_file=str(path))
        Evaluation(evaluators=(frechet,), final_evaluators=()).check(DDPM(), Digits())


def test_missing_weights_are_found_before_anything_starts():
    evaluator = Frechet(extractor=Inception(path="nowhere.pth"), num_samples=50_000)
    with pytest.raises(FileNotFoundError, match=r"path of extractor inception: nowhere\.pth does not exist"):
        Evaluation(final_evaluators=(evaluator,)).check(DDPM(), Digits())


def test_fewer_samples_than_features_warn_with_what_that_does():
    few = Evaluation(evaluators=(Frechet(extractor=Pixels(), num_samples=64),), final_evaluators=())
    with pytest.warns(UserWarning, match="fd_pca64_64: 64 samples do not fill 64 dimensions.*larger than it is"):
        few.check(DDPM(), Digits())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Evaluation(batch_size=0), "batch_size must be at least 1, not 0"),
        (lambda: Evaluation(seed=4096), r"seed of an evaluation must be in 0\.\.4095, not 4096"),
        (lambda: Evaluation(final_evaluators=(ValidationLoss(),)), "yield val_loss, .* more than once"),
        (lambda: Frechet(num_samples=1), "num_samples must be in 2"),
        (lambda: KernelDistance(num_samples=100), r"subset_size must be in 2..num_samples \(100\), not 500"),
        (lambda: KernelDistance(num_subsets=0), "num_subsets must be at least 1, not 0"),
        (lambda: PrecisionRecall(num_neighbours=0), "num_neighbours must be in 1"),
        (lambda: InceptionScore(num_splits=0), "num_splits must be in 1"),
        (lambda: ValidationLoss(num_levels=15), r"num_levels must be a multiple of num_intervals \(10\), not 15"),
        (lambda: Classifier(num_features=0), "num_features of extractor classifier must be at least 1, not 0"),
    ],
)
def test_settings_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (InceptionScore(extractor=Pixels()), "must tell classes, and pca64 does not"),
        (ValidationLoss(num_images=1_798), "at most the 1797 images of the reference, not 1798"),
        (KernelDistance(num_samples=2_000, subset_size=1_900), "at most the 1797 images of the reference, not 1900"),
    ],
)
def test_evaluators_that_do_not_fit_the_data_are_named(evaluator, message):
    with pytest.raises(ValueError, match=message):
        Evaluation(evaluators=(evaluator,), final_evaluators=()).check(DDPM(), Digits())


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
            "the reference, reference 8x8, has 2 classes and the training images no labels",
        ),
        (("a", "b"), ("a", "b", "c"), "has 3 classes and the training images 2"),
        (
            ("a", "b", "c"),
            ("b", "c"),
            r"classes of the reference \(b, c\) are not those .*images \(a, b, c\)",
        ),
    ],
)
def test_a_reference_whose_labels_mean_something_else_is_named(tmp_path, train, reference, message):
    paths = {"path": class_folders(tmp_path / "train", *train)}
    paths["reference_path"] = class_folders(tmp_path / "reference", *reference)
    settings = Evaluation(evaluators=(ValidationLoss(num_images=1),), final_evaluators=())
    with pytest.raises(ValueError, match=message):
        settings.check(DDPM(), Folder(**paths))
    settings.check(DDPM(), Folder(**paths, use_labels=False))
