"""The loop: the same run every time, from wherever it is resumed; what all arms of a study share; what it costs."""

import json
import math
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest
import torch
from support.autoencoder import save_autoencoder
from support.captioned import counted_encodings, save_bert, write_captioned_digits
from support.conditions import shown
from support.runner import Make, Runner, Step
from torch.overrides import TorchFunctionMode

from curriculum_search.conditions import Unconditional
from curriculum_search.curriculum import Curriculum, EasyToHard, HardToEasy, Linear, NoOrder, Plateau, RandomOrder
from curriculum_search.data import Array, CaptionedFolder, Digits, Latents, Prefetcher
from curriculum_search.diffusion import DDPM, EDM, Flow, HeunSampler, Histogram, Uncertainty
from curriculum_search.evaluation import Diverged
from curriculum_search.experiment import Cadence
from curriculum_search.models import DiT, PixArt
from curriculum_search.models.encoders import VAE
from curriculum_search.text import SentenceEncoder
from curriculum_search.training import CHECKPOINT, GRID, PlainSession, Report
from curriculum_search.training import checkpoint as checkpoints

torch.set_num_threads(1)

PLATEAU = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.1, window_steps=2, end_share=0.7))


def test_the_same_run_ends_at_the_same_numbers_digit_for_digit(tiny: Make, runner: Runner) -> None:
    runner(tiny(curriculum=PLATEAU))
    first = runner.curve()
    runner(tiny(curriculum=PLATEAU))
    assert runner.curve() == first
    runner(tiny(curriculum=PLATEAU, seed=1))
    assert runner.curve() != first


def test_a_run_reports_at_each_evaluation_and_everything_at_the_end(tiny: Make, runner: Runner) -> None:
    experiment = tiny()
    result = runner(experiment)
    reports = runner.session.reports
    assert [report.images for report in reports] == [80, 160, 240, 320]
    assert [report.final for report in reports] == [False, False, False, True]
    wanted = {*experiment.evaluation.metric_names(final=True), "train_loss", "stage", "unlocked_share"}
    assert wanted <= set(result.metrics)
    assert all(math.isfinite(value) for report in reports for value in report.metrics.values())
    assert reports[-1].metrics["unlocked_share"] == 1.0
    switches = [switch for report in reports for switch in report.switches]
    assert [switch["stage"] for switch in switches] == [1, 2, 3, 4]
    assert switches[0] == {"images": 0, "stage": 1, "reason": "start"}
    assert all(switch["images"] <= report.images for report in reports for switch in report.switches)
    assert (runner.session.run_dir / GRID).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("curriculum", "cadence", "saved"),
    [
        (Curriculum(num_clusters=4, pacing=Linear()), Cadence(), {160}),
        (PLATEAU, Cadence(), {160}),
        (PLATEAU, Cadence(checkpoint_images=64), {160, 192}),  # the kill may find the last one being written
    ],
    ids=["linear", "plateau", "plateau, saved between evaluations"],
)
def test_a_run_that_is_killed_in_a_step_goes_on_as_if_nothing_had_been(
    tiny: Make, runner: Runner, tmp_path: Path, curriculum: Curriculum, cadence: Cadence, saved: set[int]
) -> None:
    experiment = tiny(curriculum=curriculum, cadence=cadence)
    runner(experiment)
    expected = runner.curve()
    expected_switches = [switch for report in runner.session.reports for switch in report.switches]

    run_dir = tmp_path / "killed"
    run_dir.mkdir()
    (tmp_path / "experiment.json").write_text(json.dumps(experiment.to_dict()))
    program = f"""
import json, os, signal
from pathlib import Path
import torch
from curriculum_search.experiment import Experiment
from curriculum_search.loading import validated
from curriculum_search.training import PlainSession, train
from curriculum_search.training.randomness import StepRandom
draw = StepRandom.noise
def noise(self, shape, images_seen):
    if images_seen == 208:  # between the evaluations at 160 and 240
        os.kill(os.getpid(), signal.SIGKILL)
    return draw(self, shape, images_seen)
StepRandom.noise = noise
folder = Path({str(tmp_path)!r})
experiment = validated(Experiment, json.loads((folder / "experiment.json").read_text()), "experiment.json")
train(experiment, PlainSession(run_dir=folder / "killed", device=torch.device("cpu")), folder / "cache")
"""
    killed = subprocess.run([sys.executable, "-c", program], timeout=120, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    session = PlainSession(run_dir=run_dir, device=torch.device("cpu"))
    assert checkpoints.load(run_dir / CHECKPOINT)["images"] in saved
    runner(experiment, session)
    assert runner.curve() == expected
    assert [switch for report in session.reports for switch in report.switches] == expected_switches
    # A run that is at its end says again what it said, and trains nothing.
    again = PlainSession(run_dir=run_dir, device=torch.device("cpu"))
    before = (run_dir / CHECKPOINT).read_bytes()
    runner(experiment, again)
    assert again.reports == session.reports
    assert (run_dir / CHECKPOINT).read_bytes() == before


def test_a_checkpoint_of_another_experiment_is_refused(tiny: Make, runner: Runner) -> None:
    runner(tiny())
    with pytest.raises(ValueError, match=r"checkpoint\.pt belongs to another experiment"):
        runner(tiny(seed=1), PlainSession(run_dir=runner.session.run_dir))


def test_all_arms_share_weights_images_noise_and_hidden_labels_and_differ_in_noise_levels(
    tiny: Make, runner: Runner, steps: list[Step]
) -> None:
    orders = (NoOrder(), EasyToHard(), HardToEasy(), RandomOrder())
    arms = [Curriculum(num_clusters=4, order=order) for order in orders]
    runs = []
    for arm in [*arms, PLATEAU]:
        steps.clear()
        runner(tiny(curriculum=arm))
        runs.append(list(steps))
    first, *others = runs
    assert len(first) == 20
    for run in others:
        assert all(torch.equal(value, run[0].weights[name]) for name, value in first[0].weights.items())
        for a, b in zip(first, run, strict=True):
            assert torch.equal(a.images, b.images)
            assert torch.equal(a.noise, b.noise)
            assert shown(a.condition) == shown(b.condition)
            assert len(shown(a.condition)) == len(a.images)
        assert not torch.equal(torch.cat([s.q for s in first]), torch.cat([s.q for s in run]))
        assert not torch.equal(first[1].images, run[0].images)
    # Of one stage, all have the same place in the draw: the last stages of all are ordinary training.
    assert torch.equal(first[-1].q, runs[1][-1].q)


def test_another_seed_has_other_weights_images_noise_and_levels(tiny: Make, runner: Runner, steps: list[Step]) -> None:
    runner(tiny())
    runner(tiny(seed=1))
    a, b = steps[0], steps[20]
    assert not torch.equal(a.images, b.images)
    assert not torch.equal(a.noise, b.noise)
    assert not torch.equal(a.q, b.q)
    assert any(not torch.equal(value, b.weights[name]) for name, value in a.weights.items())


def test_noise_differs_between_steps_and_every_image_comes_once_an_epoch(
    tiny: Make, runner: Runner, steps: list[Step], tmp_path: Path
) -> None:
    images = np.arange(64, dtype=np.uint8)[:, None, None, None].repeat(8, 1).repeat(8, 2)
    np.savez(tmp_path / "data.npz", images=images)
    experiment = tiny(data=Array(path=str(tmp_path / "data.npz")), training={"total_images": 128})
    runner(replace(experiment, evaluation=replace(experiment.evaluation, evaluators=(), final_evaluators=())))
    assert len({tuple(step.noise.flatten()[:4].tolist()) for step in steps}) == 8
    for epoch in (steps[:4], steps[4:]):
        seen = torch.cat([step.images[:, 0, 0, 0] for step in epoch])
        assert len(set(seen.tolist())) == 64


@pytest.mark.parametrize("size", [3, 8])
def test_microbatches_train_the_same_to_rounding(tiny: Make, runner: Runner, size: int) -> None:
    whole = runner(tiny()).metrics
    parts = runner(tiny(training={"microbatch_size": size})).metrics
    for name in ("val_loss", "train_loss", "fd_pca4_24"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-4)


@pytest.mark.parametrize("order", [EasyToHard(), NoOrder()], ids=["easy to hard", "none"])
def test_the_exposure_is_the_time_average_of_the_laws_and_that_of_the_draws(
    tiny: Make, runner: Runner, steps: list[Step], order: Any
) -> None:
    experiment = tiny(curriculum=Curriculum(num_clusters=4, order=order, pacing=Linear(end_share=0.8)))
    result = runner(experiment)
    training = experiment.training
    sampler = experiment.curriculum.build(
        experiment.process, experiment.density, training.total_images, training.batch_size, "cpu"
    )
    for images in range(16, 336, 16):
        sampler.update(images)
    expected = Histogram.of(sampler.exposure())
    assert result.exposure == {"edges": list(expected.edges), "mass": list(expected.mass)}
    assert sum(expected.mass) == pytest.approx(1.0)
    drawn, _ = np.histogram(torch.cat([step.q for step in steps]).numpy(), bins=result.exposure["edges"])
    for count, mass in zip(drawn, result.exposure["mass"], strict=True):
        assert abs(count - 320 * mass) <= 4 * math.sqrt(320 * mass * (1 - mass)) + 1e-9


@pytest.mark.parametrize("reset", [True, False])
def test_a_switch_sets_the_average_back_only_where_that_is_asked_for(tiny: Make, runner: Runner, reset: bool) -> None:
    class Watcher(PlainSession):
        def report(self, report: Report) -> None:
            state = checkpoints.load(self.run_dir / CHECKPOINT)
            same = all(torch.equal(value, state["ema"][name]) for name, value in state["network"].items())
            switched = any(switch["images"] == report.images for switch in report.switches)
            found.append((switched, same))

    found: list[tuple[bool, bool]] = []
    experiment = tiny(
        curriculum=Curriculum(num_clusters=3, pacing=Linear(end_share=0.8), reset_ema=reset),
        training={"num_evaluations": 20, "ema_rampup_share": 1.0},
    )
    run_dir = runner.folder / "watched"
    run_dir.mkdir()
    runner(replace(experiment, evaluation=replace(experiment.evaluation, evaluators=())), Watcher(run_dir=run_dir))
    assert Counter(switched for switched, _ in found) == {True: 2, False: 18}
    assert all(same == (reset and switched) for switched, same in found)


def test_a_run_that_diverges_has_no_number(tiny: Make, runner: Runner) -> None:
    with pytest.raises(Diverged, match=r"the training loss is (nan|inf) at 80 images"):
        runner(tiny(training={"learning_rate": 1e30, "max_grad_norm": None}))
    assert runner.session.reports == []
    assert not (runner.session.run_dir / CHECKPOINT).exists()


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_labels_are_hidden_with_their_probability(
    tiny: Make, runner: Runner, steps: list[Step], probability: float
) -> None:
    runner(tiny(training={"label_dropout": probability}))
    labels = [label for step in steps for label in shown(step.condition)]
    hidden = labels.count(None)
    assert abs(hidden - 320 * probability) <= 4 * math.sqrt(320 * probability * (1 - probability))
    assert set(labels) <= {None, *range(10)}


def test_half_of_the_images_are_mirrored_where_that_is_asked_for(tiny: Make, runner: Runner, steps: list[Step]) -> None:
    runner(tiny(data=Digits(use_labels=False)))
    runner(tiny(data=Digits(use_labels=False), training={"horizontal_flip": True}))
    plain = torch.cat([step.images for step in steps[:20]])
    mirrored = torch.cat([step.images for step in steps[20:]])
    same = (plain == mirrored).flatten(1).all(1)
    flipped = (plain.flip(-1) == mirrored).flatten(1).all(1)
    assert bool((same | flipped).all())
    assert 100 < int(flipped.sum()) < 220
    assert isinstance(steps[0].condition, Unconditional)


@pytest.mark.parametrize("process", [EDM(), Flow(), DDPM(prediction="v", learned_variance=True)], ids=lambda p: p.kind)
def test_every_process_trains_below_its_first_loss(tiny: Make, runner: Runner, process: Any) -> None:
    experiment = tiny(process=process, curriculum=Curriculum(order=NoOrder()), training={"learning_rate": 5e-3})
    evaluation = experiment.evaluation
    if not isinstance(process, DDPM):
        evaluation = replace(evaluation, sampler=HeunSampler(num_steps=2))
    runner(replace(experiment, evaluation=evaluation))
    losses = [report.metrics["val_loss"] for report in runner.session.reports]
    assert losses[-1] < losses[0]


def test_bfloat16_trains_weights_of_float32(tiny: Make, runner: Runner) -> None:
    exact = runner(tiny()).metrics["val_loss"]
    rough = runner(tiny(training={"precision": "bfloat16"})).metrics["val_loss"]
    assert rough == pytest.approx(exact, rel=0.05)
    assert rough != exact
    state = checkpoints.load(runner.session.run_dir / CHECKPOINT)
    assert {value.dtype for value in state["network"].values()} == {torch.float32}


#: What makes a GPU's host wait: to read values, or for a shape that depends on them.
WAITS = {
    *("item", "tolist", "numpy", "cpu", "__array__", "__bool__", "__int__", "__float__", "__index__"),
    *("nonzero", "masked_select", "equal", "allclose", "unique"),
}


class CountWaits(TorchFunctionMode):
    """Counts the calls that would make a GPU's host wait.

    Not counted are AdamW's step counters, which live on the CPU, and the clipping of gradients, which moves norms to
    the device where they are.
    """

    count = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.__name__
        by_mask = name in ("__getitem__", "__setitem__") and torch.bool in _dtypes(args[1])
        to_cpu = name == "to" and any(str(a) == "cpu" for a in (*args[1:], *(kwargs or {}).values()))
        if (name in WAITS or by_mask or to_cpu) and not _inside("/torch/optim/", "/clip_grad.py"):
            self.count += 1
        return function(*args, **(kwargs or {}))


def _dtypes(index: Any) -> list[torch.dtype]:
    return [i.dtype for i in (index if isinstance(index, tuple) else (index,)) if isinstance(i, torch.Tensor)]


def _inside(*paths: str) -> bool:
    frame: FrameType | None = sys._getframe()
    while frame is not None and not any(path in frame.f_code.co_filename for path in paths):
        frame = frame.f_back
    return frame is not None


def on_latents(folder: Path) -> dict[str, Any]:
    """A run on latents that are stored with their deviations, and drawn anew at every step."""
    encoder = VAE(path=save_autoencoder(folder / "vae"))
    images = Digits().load().stored(np.arange(40))
    np.save(folder / "images.npy", images[:, 0].numpy())
    np.save(folder / "latents.npy", encoder.load(torch.device("cpu")).posterior(images).flatten(1, 2).numpy())
    data = Latents(path=str(folder / "latents.npy"), layout="mean_std", reference_path=str(folder / "images.npy"))
    return {"data": data, "encoder": encoder, "model": DiT(patch_size=2, hidden_size=16, depth=1, num_heads=2)}


def on_captions(folder: Path) -> dict[str, Any]:
    """A run on captions, whose tokens the network looks at."""
    data = CaptionedFolder(
        path=str(write_captioned_digits(folder / "train", 40)),
        text_encoder=SentenceEncoder(path=save_bert(folder / "bert")),
        encoded_path=str(folder / "encoded"),
    )
    return {"data": data, "model": PixArt(patch_size=4, hidden_size=16, depth=1, num_heads=2)}


@pytest.mark.parametrize(
    "make",
    [
        lambda _: {"curriculum": Curriculum(num_clusters=4)},
        lambda _: {"curriculum": Curriculum(order=NoOrder())},
        lambda _: {"weighting": Uncertainty()},
        on_latents,
        on_captions,
    ],
    ids=["linear", "no curriculum", "learned weights", "latents", "captions"],
)
def test_an_ordinary_step_never_waits_for_the_device(
    tiny: Make, runner: Runner, tmp_path: Path, make: Callable[[Path], dict[str, Any]]
) -> None:
    counts, fields = [], make(tmp_path)
    settings = {"num_evaluations": 2, "microbatch_size": 8, "label_dropout": 0.1}
    settings["horizontal_flip"] = make is not on_latents  # which cannot be mirrored
    runner(tiny(**fields))  # computes the reference's statistics, and encodes captions
    for total_images in (160, 480):
        with CountWaits() as mode:
            runner(tiny(**fields, training={**settings, "total_images": total_images}))
        counts.append(mode.count)
    assert counts[0] == counts[1] > 0  # three times the steps, and not one wait more


def test_captions_are_encoded_before_the_clock_begins(
    tiny: Make, runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts, begun = counted_encodings(monkeypatch), list[int]()
    begin = Prefetcher.__init__

    def beginning(self: Prefetcher, *arguments: Any, **fields: Any) -> None:
        begun.append(sum(counts))
        begin(self, *arguments, **fields)

    monkeypatch.setattr(Prefetcher, "__init__", beginning)
    runner(tiny(**on_captions(tmp_path)))
    assert begun == [1 + 81]  # the empty one for the network, and all with the empty one
    assert sum(counts) == 1 + 81


def test_a_plateau_waits_for_the_device_once_a_window(tiny: Make, runner: Runner) -> None:
    runner(tiny())
    waits = []
    for steps in (2, 5):  # of 40; a checkpoint, here at 20 and at 40, reads the window under way too
        plateau = Plateau(patience_share=1.0, window_steps=steps, end_share=1.0, max_stage_share=1.0)
        training = {"total_images": 640, "num_evaluations": 2}
        with CountWaits() as mode:
            runner(tiny(curriculum=Curriculum(num_clusters=2, pacing=plateau), training=training))
        waits.append(mode.count)
    assert waits[0] - waits[1] == 20 - 8


def test_a_status_waits_for_the_device_once(tiny: Make, runner: Runner) -> None:
    runner(tiny())
    waits = []
    for cadence in (Cadence(), Cadence(status_images=16)):  # after 18 more of the 20 steps, 2 of which are evaluated
        with CountWaits() as mode:
            runner(tiny(cadence=cadence, training={"num_evaluations": 2}))
        waits.append(mode.count)
    assert waits[1] - waits[0] == 18
