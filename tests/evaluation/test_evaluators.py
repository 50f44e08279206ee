"""The metrics that come with the project: their names, and what they cannot be computed from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from support.arrays import Arrays, save

from curriculum_search.data import Digits
from curriculum_search.diffusion import DDPM
from curriculum_search.evaluation import (
    Classifier,
    DinoV2,
    Evaluation,
    Evaluator,
    Frechet,
    Inception,
    InceptionScore,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    TorchScript,
    ValidationLoss,
)


@pytest.mark.parametrize(
    ("evaluator", "name"),
    [
        (Frechet(extractor=Inception(), num_samples=50_000), "fid50k"),
        (Frechet(extractor=Inception(), num_samples=2_500), "fid2500"),
        (Frechet(extractor=Inception(resize="clean"), num_samples=50_000), "fd_inception_clean_50k"),
        (Frechet(extractor=DinoV2(), num_samples=10_000), "fd_dinov2_10k"),
        (Frechet(extractor=DinoV2(size="vitb"), num_samples=10_000), "fd_dinov2_vitb_10k"),
        (Frechet(extractor=Classifier(), num_samples=2_000), "fd_classifier_2k"),
        (Frechet(extractor=TorchScript(path="x", name="mine"), num_samples=500), "fd_mine_500"),
        (KernelDistance(extractor=Inception(), num_samples=50_000), "kid_inception_50k"),
        (InceptionScore(extractor=Inception(), num_samples=50_000), "is_inception_50k"),
    ],
)
def test_fid_is_the_original_inception_and_the_number_of_samples_is_always_there(
    evaluator: Evaluator, name: str
) -> None:
    assert evaluator.names[0] == name


@pytest.mark.parametrize(
    ("evaluator", "message"),
    [
        (InceptionScore(extractor=Pixels()), "must tell classes, and pca64 does not"),
        (ValidationLoss(num_images=1_798), "at most the 1797 images of the reference, not 1798"),
        (KernelDistance(num_samples=2_000, subset_size=1_900), "at most the 1797 images of the reference, not 1900"),
    ],
)
def test_evaluators_that_do_not_fit_the_data_are_named(evaluator: Evaluator, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Evaluation(evaluators=(evaluator,), final_evaluators=()).check(DDPM(), Digits())


def test_fewer_samples_than_features_warn_with_what_that_does() -> None:
    few = Evaluation(evaluators=(Frechet(extractor=Pixels(), num_samples=64),), final_evaluators=())
    with pytest.warns(UserWarning, match="fd_pca64_64: 64 samples do not fill 64 dimensions.*larger than it is"):
        few.check(DDPM(), Digits())


def with_(covariance: NDArray[np.float64], place: tuple[int, int], value: float) -> NDArray[np.float64]:
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
def test_a_reference_file_that_can_give_no_distance_is_named_with_its_field(
    tmp_path: Path, content: Arrays, message: str, part: str
) -> None:
    path = tmp_path / "stats.npz"
    save(path, **content)
    frechet = Frechet(extractor=Pixels(), num_samples=500, reference_file=str(path))
    parts: dict[str, tuple[Evaluator, ...]] = {"evaluators": (), "final_evaluators": (), part: (frechet,)}
    settings = Evaluation(evaluators=parts["evaluators"], final_evaluators=parts["final_evaluators"])
    with pytest.raises(ValueError, match=rf"^{part}\.0: reference_file: .*stats\.npz.*{message}"):
        settings.check(DDPM(), Digits())


@pytest.mark.parametrize("count", [0, 2, 3])
def test_a_reference_file_of_too_few_images_for_neighbours_is_named_with_its_field(tmp_path: Path, count: int) -> None:
    path = tmp_path / "few.npz"
    np.savez(path, arr_0=np.zeros((count, 8, 8, 1), np.uint8))
    evaluator = PrecisionRecall(extractor=Pixels(), reference_file=str(path))
    with pytest.raises(ValueError, match=r"^evaluators\.0: reference_file: .*few\.npz"):
        Evaluation(evaluators=(evaluator,), final_evaluators=()).check(DDPM(), Digits())


def test_covariances_that_were_summed_in_float32_or_have_no_full_rank_pass_the_check(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 64)).astype(np.float32)
    for i, sigma in enumerate((rows.T @ rows / 39, np.zeros((64, 64)), np.diag([1.0] * 3 + [0.0] * 61))):
        path = tmp_path / f"{i}.npz"
        np.savez(path, mu=rows.mean(0), sigma=sigma)
        frechet = Frechet(extractor=Pixels(), num_samples=500, reference_file=str(path))
        Evaluation(evaluators=(frechet,), final_evaluators=()).check(DDPM(), Digits())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Frechet(num_samples=1), "num_samples must be in 2"),
        (lambda: KernelDistance(num_samples=100), r"subset_size must be in 2..num_samples \(100\), not 500"),
        (lambda: KernelDistance(num_subsets=0), "num_subsets must be at least 1, not 0"),
        (lambda: PrecisionRecall(num_neighbours=0), "num_neighbours must be in 1"),
        (lambda: InceptionScore(num_splits=0), "num_splits must be in 1"),
        (lambda: ValidationLoss(num_levels=15), r"num_levels must be a multiple of num_intervals \(10\), not 15"),
    ],
)
def test_settings_of_metrics_out_of_range_are_named(make: Callable[[], Evaluator], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
