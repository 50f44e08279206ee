"""What makes two runs the same run, and what is found out before training."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.captioned import counted_encodings, save_bert, write_captioned_digits
from torch import nn

from curriculum_search.conditions import Captions
from curriculum_search.curriculum import Curriculum, EasyToHard, Linear, NoOrder, Plateau
from curriculum_search.data import Array, CaptionedFolder, CaptionedLatents, Digits, write_captions
from curriculum_search.diffusion import EDM, DDIMSampler
from curriculum_search.evaluation import (
    Classifier,
    EfficientNetLite0,
    Evaluation,
    Evaluator,
    Frechet,
    KernelDistance,
    Pixels,
    PrecisionRecall,
    TextScore,
    ValidationLoss,
    WordsAndImages,
)
from curriculum_search.experiment import Cadence, Experiment, FunctionTrainer, Resources, Training, WorkerRange
from curriculum_search.models import DiT, PixArt
from curriculum_search.models.encoders import Undecoded
from curriculum_search.text import SentenceEncoder
from curriculum_search.training import PlainSession, train

BASE = Experiment()


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": 1},
        {"training": Training(learning_rate=2e-3)},
        {"curriculum": Curriculum(num_clusters=19)},
        {"curriculum": Curriculum(pacing=Linear(end_share=0.4))},
        {"data": Digits(resolution=16)},
    ],
)
def test_whatever_changes_what_is_trained_changes_the_identity(fields: dict[str, Any]) -> None:
    assert replace(BASE, **fields).identity() != BASE.identity()


@pytest.mark.parametrize(
    "fields",
    [
        {"resources": Resources(workers=2, cpus_per_worker=2)},
        {"resources": Resources(workers=2, sharding="full", activation_checkpointing=True)},
        {"cadence": Cadence(status_images=64, checkpoint_images=64, checkpoint_minutes=None)},
        {"plugins": ("mine.py",)},
        {},
    ],
)
def test_where_and_from_which_file_it_is_trained_and_how_often_it_is_saved_does_not(fields: dict[str, Any]) -> None:
    assert replace(BASE, **fields).identity() == BASE.identity()


def test_ordinary_training_is_one_run_however_it_is_written() -> None:
    ways = [
        Curriculum(order=NoOrder()),
        Curriculum(order=NoOrder(), num_clusters=3, pacing=Plateau()),
        Curriculum(order=EasyToHard(), num_clusters=1),
        Curriculum(order=EasyToHard(), pacing=Linear(start_unlocked=1.0)),
    ]
    assert len({replace(BASE, curriculum=way).identity() for way in ways}) == 1


def test_the_identity_is_the_same_in_every_process() -> None:
    program = "from curriculum_search.experiment import Experiment; print(Experiment().identity())"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert output.stdout.strip() == BASE.identity()


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (replace(BASE, data=Array(path="/nowhere.npz")), r"data: /nowhere\.npz does not exist"),
        (replace(BASE, process=EDM()), "evaluation: sampler ddim needs process ddpm, not edm"),
        (replace(BASE, curriculum=Curriculum(num_clusters=2000)), r"curriculum: num_clusters must be in \[1, 1000\]"),
    ],
)
def test_what_cannot_be_trained_is_found_before(experiment: Experiment, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        experiment.check()


def images_file(path: Path, count: int) -> Array:
    images = np.random.default_rng(0).integers(0, 256, (count, 1, 8, 8), dtype=np.uint8)
    np.savez(path, images=images, labels=np.arange(count) % 2)
    return Array(path=str(path))


@pytest.mark.parametrize(
    ("count", "evaluator", "message"),
    [
        (1, Frechet(extractor=Pixels()), "extractor pixels needs at least 2 images .*few 8x8 has one"),
        (
            1,
            Frechet(extractor=EfficientNetLite0(), num_samples=2_000),
            "few 8x8 has one image, and evaluator frechet needs 2",
        ),
        (4, Frechet(), "extractor classifier holds out every 10th labelled image, and few 8x8 has only 4"),
        (9, Frechet(), "extractor classifier holds out every 10th labelled image, and few 8x8 has only 9"),
        (2, PrecisionRecall(extractor=Pixels()), "num_neighbours .* less than the 2 images of the reference, not 3"),
        (3, PrecisionRecall(extractor=Pixels()), "num_neighbours .* less than the 3 images of the reference, not 3"),
    ],
)
@pytest.mark.parametrize("part", ["evaluators", "final_evaluators"])
def test_too_few_images_for_a_metric_are_found_before_with_field_and_file(
    tmp_path: Path, count: int, evaluator: Evaluator, message: str, part: str
) -> None:
    path = tmp_path / "few.npz"
    parts: dict[str, Any] = {"evaluators": (), "final_evaluators": (), part: (evaluator,)}
    experiment = replace(BASE, data=images_file(path, count), evaluation=Evaluation(**parts))
    with pytest.raises(ValueError, match=rf"^evaluation: {part}\.0: .*{message}.*\(data: {path}\)$"):
        experiment.check()


@pytest.mark.parametrize(
    ("count", "evaluator"),
    [
        (2, Frechet(extractor=Pixels(num_components=4), num_samples=8)),
        (2, KernelDistance(extractor=Pixels(num_components=4), num_samples=8, subset_size=2)),
        (4, PrecisionRecall(extractor=Pixels(num_components=4), num_samples=8)),
        (10, Frechet(extractor=Classifier(num_features=4, training_images=256), num_samples=8)),
    ],
)
def test_the_fewest_images_that_pass_the_check_are_enough_to_train(
    tmp_path: Path, count: int, evaluator: Evaluator
) -> None:
    experiment = replace(
        BASE,
        data=images_file(tmp_path / "few.npz", count),
        model=DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2),
        training=Training(total_images=32, batch_size=16, num_evaluations=1),
        evaluation=Evaluation(
            evaluators=(evaluator,), final_evaluators=(), sampler=DDIMSampler(num_steps=2), batch_size=8
        ),
    )
    experiment.check()
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(experiment, session, tmp_path / "cache")
    assert all(np.isfinite(value) for value in session.reports[-1].metrics.values())


@pytest.mark.parametrize("make", [lambda: Experiment(seed=-1), lambda: Classifier(seed=-1)])
def test_a_negative_seed_is_refused_by_name(make: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"seed .*must be .*, not -1"):
        make()


def test_workers_have_to_share_each_batch() -> None:
    with pytest.raises(ValueError, match=r"noise_shards must be a multiple of the number of workers \(3\), not 8"):
        Experiment(resources=Resources(workers=3))
    for wrong, least, most in ((3, 3, 8), (6, 2, 6)):
        with pytest.raises(ValueError, match=rf"noise_shards must be a multiple of .* \({wrong}\), not 8"):
            Experiment(resources=Resources(workers=WorkerRange(min=least, max=most)))


def test_a_range_of_workers_means_those_numbers_that_share_each_batch(tmp_path: Path) -> None:
    native = Experiment(resources=Resources(workers=WorkerRange(min=1, max=8)))
    assert native.worker_counts == (1, 2, 4, 8)
    assert Experiment(resources=Resources(workers=4)).worker_counts == (4,)
    (tmp_path / "train.py").write_text("def train(run): ...")
    trainer = FunctionTrainer(path=str(tmp_path / "train.py"), metrics={"score": "minimize"})
    training = replace(native.training, total_images=480, batch_size=12, num_evaluations=1, noise_shards=4)
    own = replace(native, trainer=trainer, training=training, resources=Resources(workers=WorkerRange(min=2, max=6)))
    assert own.worker_counts == (2, 3, 4, 6)


def test_a_check_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    BASE.check()
    assert list(tmp_path.iterdir()) == []


def captioned(folder: Path) -> Experiment:
    """A text-to-image model on images of digits and on others that are held out."""
    encoder = SentenceEncoder(path=save_bert(folder / "bert"))
    data = CaptionedFolder(
        path=str(write_captioned_digits(folder / "train", 30)),
        reference_path=str(write_captioned_digits(folder / "held-out", 12, start=30)),
        text_encoder=encoder,
        encoded_path=str(folder / "encoded"),
    )
    score = TextScore(extractor=WordsAndImages(), num_samples=10)
    frechet = Frechet(extractor=Pixels(num_components=4), num_samples=10)
    evaluation = Evaluation(evaluators=(frechet, score), final_evaluators=(), guidance_scale=2.0)
    model = PixArt(hidden_size=16, depth=1, num_heads=2)
    return Experiment(data=data, model=model, evaluation=evaluation)


def test_a_check_encodes_no_caption_but_the_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = counted_encodings(monkeypatch)
    images = captioned(tmp_path)
    assert isinstance(images.data, CaptionedFolder)
    latents = np.random.default_rng(0).normal(size=(30, 4, 8, 8)).astype(np.float32)
    np.save(tmp_path / "latents.npy", latents)
    conditions = images.data.load().conditions
    assert isinstance(conditions, Captions)
    write_captions(tmp_path, conditions)
    of_latents = CaptionedLatents(
        path=str(tmp_path / "latents.npy"),
        layout="sample",
        reference_latents_path=str(tmp_path / "latents.npy"),
        captions_path=str(tmp_path / "captions.json"),
        text_encoder=images.data.text_encoder,
        encoded_path=images.data.encoded_path,
    )
    evaluation = Evaluation(evaluators=(ValidationLoss(num_images=10),), final_evaluators=())
    images.check()
    replace(images, data=of_latents, encoder=Undecoded(), evaluation=evaluation).check()
    assert counts == [1]


def test_it_is_known_what_is_being_prepared(tmp_path: Path) -> None:
    experiment = captioned(tmp_path)
    preparing, images = experiment.preparing(), experiment.data.load()
    assert preparing() is None
    images.stored(np.arange(4))
    assert preparing() == (4, 30, "images decoded")
    images.read(np.arange(4))
    (path,) = (tmp_path / "encoded").iterdir()
    path.with_suffix(".encoding").write_text("9")
    assert preparing() == (9, 60, "captions encoded")


class Flat(DiT):
    """A model that says that it has no blocks."""

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        return []


class Foreign(DiT):
    """A model that names a block which is none of its network's."""

    def blocks(self, network: nn.Module) -> list[nn.Module]:
        return [nn.Linear(2, 2)]


def test_a_model_that_cannot_be_sharded_or_computed_again_is_known_before_training() -> None:
    replace(BASE, model=Flat(), resources=Resources(workers=2, sharding="full")).check()  # as a single block
    with pytest.raises(ValueError, match=r"^model: resources\.activation_checkpointing must be false with this model"):
        replace(BASE, model=Flat(), resources=Resources(activation_checkpointing=True)).check()
    with pytest.raises(ValueError, match=r"^model: resources\.sharding must be none: blocks\(\) gives a module"):
        replace(BASE, model=Foreign(), resources=Resources(workers=2, sharding="full")).check()
