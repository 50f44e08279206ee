"""Text-to-image models from end to end: trained, stopped and resumed, judged by captions, shown with prompts."""

import dataclasses
from pathlib import Path

import pytest
import torch
from support.captioned import save_bert, write_captioned_digits
from support.runner import Runner, tiny_experiment
from torch import Tensor

from curriculum_search.conditions import TextCondition
from curriculum_search.data import CaptionedFolder, Digits
from curriculum_search.evaluation import Pixels, TextScore, ValidationLoss, WordsAndImages
from curriculum_search.evaluation.evaluation import EvaluationRun
from curriculum_search.evaluation.generation import Block
from curriculum_search.evaluation.text_score import text_scores
from curriculum_search.experiment import Experiment
from curriculum_search.models import DiT, PixArt, TextDiT
from curriculum_search.text import SentenceEncoder
from curriculum_search.training import Interrupted, PlainSession

CPU = torch.device("cpu")
JUDGE = TextScore(extractor=WordsAndImages(num_features=8, training_images=6_000), num_samples=24)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    folder = tmp_path_factory.mktemp("text_run")
    write_captioned_digits(folder / "train", 120)
    write_captioned_digits(folder / "held-out", 30, start=120)
    data = CaptionedFolder(
        path=str(folder / "train"),
        reference_path=str(folder / "held-out"),
        text_encoder=SentenceEncoder(path=save_bert(folder / "bert")),
        encoded_path=str(folder / "encoded"),
    )
    tiny = tiny_experiment(data=data, model=PixArt(patch_size=4, hidden_size=16, depth=1, num_heads=2))
    evaluators = (ValidationLoss(num_images=8, num_levels=2, num_intervals=1), JUDGE)
    return dataclasses.replace(
        tiny, evaluation=dataclasses.replace(tiny.evaluation, evaluators=evaluators, guidance_scale=2.0)
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def evaluation_run(experiment: Experiment, cache: Path) -> EvaluationRun:
    source = experiment.data
    return experiment.evaluation.build(
        process=experiment.process, source=source, train_set=source.load(), device=CPU, cache_dir=cache
    )


def network_of(experiment: Experiment) -> torch.nn.Module:
    torch.manual_seed(0)
    return experiment.build_network(experiment.data.load()).eval().requires_grad_(False)


@pytest.mark.parametrize("kind", [PixArt, TextDiT])
def test_a_run_that_is_stopped_after_each_of_its_steps_is_the_undisturbed_run(
    experiment: Experiment, kind: type[DiT], tmp_path: Path, cache: Path
) -> None:
    runner = Runner(tmp_path)
    training = dataclasses.replace(experiment.training, total_images=64, num_evaluations=2, label_dropout=0.5)
    model = kind(patch_size=4, hidden_size=16, depth=1, num_heads=2)
    short = dataclasses.replace(experiment, training=training, model=model)
    short.check()
    runner(short)
    expected = runner.curve()
    run_dir = tmp_path / "stopped"
    run_dir.mkdir()
    for _ in range(4):
        with pytest.raises(Interrupted):
            runner(short, PlainSession(run_dir=run_dir, device=CPU, should_stop=True))
    runner(short, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected
    assert set(JUDGE.names) <= set(expected[-1][1])


def test_the_judge_finds_the_captions_of_real_images_and_of_noise_it_does_not(
    experiment: Experiment, cache: Path
) -> None:
    run = evaluation_run(experiment, cache)
    assert JUDGE.names == ("retrieval10_words_and_images_24", "score_words_and_images_24")
    real, _ = text_scores(run._references.similarities(JUDGE.extractor))
    assert real > 0.5
    assert f"the reference's own images have retrieval10_words_and_images_24 {real:.4g}" in run.protocol()
    assert "captions of held-out 8x8, each as often" in run.protocol()
    values = run.metrics(network_of(experiment), final=False)
    assert values["retrieval10_words_and_images_24"] < 0.5


def test_samples_of_the_right_images_have_the_right_captions(experiment: Experiment, cache: Path) -> None:
    """A generator that knows the held-out images by their captions is found out as a perfect one."""
    run = evaluation_run(experiment, cache)
    reference = experiment.data.reference()
    samples = run.generation.block(network_of(experiment), 0, 24)
    assert isinstance(samples.condition, TextCondition)
    images = reference.stored((samples.condition.rows // 2).numpy())
    features = run._references.features[JUDGE.extractor]
    found, _ = text_scores(features.similarities(features(images), samples.condition))
    shuffled, _ = text_scores(features.similarities(features(images.flip(0)), samples.condition))
    assert found > 0.5 > shuffled


def test_the_grid_has_titles_and_is_of_the_prompts_where_there_are_some(
    experiment: Experiment, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[tuple[str, ...]] = []

    def spied(images: Tensor, titles: tuple[str, ...] = ()) -> Tensor:
        shown.append((str(len(images)), *titles))
        return images[0]

    monkeypatch.setattr("curriculum_search.evaluation.evaluation.image_grid", spied)
    network = network_of(experiment)
    run = evaluation_run(experiment, cache)
    run.grid(network)
    block: Block = run.generation.block(network, 0, 4)
    assert shown[0] == ("4", *run.generation.conditions.titles(block.condition))
    prompted = dataclasses.replace(experiment.evaluation, prompts=("a seven written by hand", "the digit one"))
    evaluation_run(dataclasses.replace(experiment, evaluation=prompted), cache).grid(network)
    assert shown[1] == ("2", "a seven written by hand", "the digit one")


def test_a_tie_is_not_found_and_a_cosine_below_zero_counts_as_zero() -> None:
    similarities = torch.tensor([[0.5, 0.4, -1.0], [0.3, 0.3, 0.0], [-0.5, -0.6, -0.7], [0.1, 0.2, 0.0]])
    assert text_scores(similarities) == pytest.approx((0.5, 100 * (0.5 + 0.3 + 0.1) / 4))


def test_what_does_not_fit_is_one_message_before_anything_starts(experiment: Experiment) -> None:
    prompted = dataclasses.replace(experiment.evaluation, prompts=("a", " "))
    with pytest.raises(ValueError, match="evaluation: prompts: line 2 is empty"):
        dataclasses.replace(experiment, evaluation=prompted).check()
    with pytest.raises(
        ValueError, match=r"model: model kind dit .* 240 captions .*; model kinds pixart and text_dit take"
    ):
        dataclasses.replace(experiment, model=DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2)).check()
    classes = Digits()
    with pytest.raises(ValueError, match="model: model kind pixart is conditioned on captions"):
        dataclasses.replace(experiment, data=classes).check()
    plain = tiny_experiment()
    with pytest.raises(ValueError, match="prompts must be null: the data have 10 classes"):
        dataclasses.replace(plain, evaluation=dataclasses.replace(plain.evaluation, prompts=("a",))).check()
    with pytest.raises(ValueError, match="extractor words_and_images compares images with captions, and digits"):
        JUDGE.check(classes.load(), classes.load())
    with pytest.raises(ValueError, match="extractor of evaluator text_score must know captions"):
        TextScore(extractor=Pixels(num_components=4)).check(classes.load(), classes.load())
