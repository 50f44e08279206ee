"""The full evaluation of a trained run by its command: what it takes, what it leaves, and what it refuses."""

import json
import os
import re
import shutil
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from support.tracked import tracked_runs
from support.workplace import Workplace

from curriculum_search.evaluation.generation import Generation
from curriculum_search.experiment import Experiment
from curriculum_search.export import experiment_yaml
from curriculum_search.loading import validated
from curriculum_search.runs.folder import RunFolder


@dataclass
class Trained:
    """A workplace where an experiment with a plug-in has been trained by its file.

    Attributes:
        workplace: where.
        experiment: the file.
        run_dir: the run's folder.
    """

    workplace: Workplace
    experiment: Path
    run_dir: Path


@pytest.fixture(scope="module")
def trained(make_workplace: Callable[[], Workplace]) -> Trained:
    workplace = make_workplace()
    experiment = workplace.folder / "experiment.yaml"
    base = workplace.load("base.training.total_images=64", "base.training.num_evaluations=1").base
    experiment.write_text(experiment_yaml(base, "an experiment"))
    status, _, err = workplace.call("train", experiment)
    assert status == 0, err
    (run_dir,) = (workplace.results / "train" / "runs").iterdir()
    return Trained(workplace, experiment, run_dir)


def values(out: str) -> dict[str, list[float]]:
    """Each metric's values by seed block, as printed."""
    table = out[out.index("by seed block\n") : out.index("\n\nsamples: ")].splitlines()[1:]
    return {line.split()[0]: [float(word) for word in line.split()[3:]] for line in table}


def evaluations(workplace: Workplace) -> list[Run]:
    return tracked_runs(workplace.store, matching="tags.role = 'evaluation'")


def targets(trained: Trained) -> dict[str, Path]:
    """The forms in which a run can be named."""
    best = trained.workplace.results / "train" / "best.yaml"
    shutil.copy(trained.experiment, best)
    shutil.copy(trained.workplace.folder / "witness.py", best.parent)
    return {
        "folder": trained.run_dir,
        "checkpoint": trained.run_dir / "checkpoint.pt",
        "exported": best,
        "experiment": trained.experiment,
    }


@pytest.mark.parametrize("form", ["folder", "checkpoint", "exported", "experiment"])
def test_a_run_is_found_by_each_of_its_names_and_evaluated_alike(trained: Trained, no_ray: None, form: str) -> None:
    status, out, err = trained.workplace.call("evaluate", targets(trained)[form], "--blocks", "2")
    assert (status, err) == (0, "")
    assert out.startswith(f"{trained.run_dir / 'checkpoint.pt'} (easy to hard, 20 clusters, linear, seed 0), 64 images")
    found = values(out)
    parts = [f"val_loss_q{k / 5:g}-{(k + 1) / 5:g}" for k in range(5)]
    assert list(found) == ["val_loss", *parts, "witnessed", "fd_pca4_24"]
    result = RunFolder(trained.run_dir).read_result()
    assert result
    for name in ("val_loss", "fd_pca4_24"):  # The first block is what training reports.
        assert found[name][0] == pytest.approx(result.metrics[name], rel=1e-4)
        assert found[name][1] != found[name][0]
    match = re.search(r"^Samples: (.*)$", out, re.M)
    assert match
    assert Path(match[1]).read_bytes()[:4] == b"\x89PNG"
    text = Path(match[1]).with_name("evaluation.txt").read_text()
    assert text.strip() in out

    # One evaluation, however often it is made and whatever names the run.
    (run,) = evaluations(trained.workplace)
    client = MlflowClient(trained.workplace.store)
    assert run.info.status == "FINISHED"
    assert run.data.params["checkpoint"] == trained.run_dir.name
    (point,) = client.get_metric_history(run.info.run_id, "val_loss")
    assert point.step == 64
    assert point.value == pytest.approx(sum(found["val_loss"]) / 2, rel=1e-4)
    assert run.data.metrics["val_loss_sd"] > 0
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"samples.png", "evaluation.txt"}


def test_other_settings_are_another_evaluation(trained: Trained, no_ray: None) -> None:
    status, out, err = trained.workplace.call(
        "evaluate", trained.run_dir, "evaluation.sampler.num_steps=3", "--blocks", "2"
    )
    assert (status, err) == (0, "")
    *_, run = evaluations(trained.workplace)
    assert run.data.metrics["fd_pca4_24"] == pytest.approx(sum(values(out)["fd_pca4_24"]) / 2, rel=1e-4)
    protocols = {run.data.tags["protocol"] for run in evaluations(trained.workplace)}
    assert len(protocols) == len(evaluations(trained.workplace))
    kept = list((trained.workplace.results / "evaluate").glob("*/evaluation.txt"))
    assert len({path.read_text() for path in kept}) == len(evaluations(trained.workplace))


@pytest.fixture
def copied(trained: Trained, tmp_path: Path) -> Path:
    """The run's folder, to be spoilt."""
    return Path(shutil.copytree(trained.run_dir, tmp_path / "run"))


def refused(workplace: Workplace, *arguments: object) -> str:
    status, out, err = workplace.call("evaluate", *arguments)
    assert (status, out) == (2, ""), err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return str(err).removeprefix("error: ").strip()


def test_an_experiment_that_was_never_trained_says_how_to_train_it(trained: Trained, no_ray: None) -> None:
    path = trained.workplace.folder / "other.yaml"
    path.write_text(trained.experiment.read_text().replace("seed: 0", "seed: 5"))
    assert refused(trained.workplace, path) == (
        f"{path}: has no checkpoint beside it nor under {trained.workplace.results}; "
        f"train it first: python jobs/train.py {path}"
    )


def test_what_is_no_run_is_refused(trained: Trained, no_ray: None, copied: Path) -> None:
    for spoil in ("checkpoint.pt", "experiment.json"):
        (copied / spoil).rename(copied / "away")
        for target in (copied, copied / "checkpoint.pt"):
            assert refused(trained.workplace, target) == (
                f"{target}: is no run: it needs checkpoint.pt and experiment.json in one folder"
            )
        (copied / "away").rename(copied / spoil)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seed=1"], "command line: seed: only evaluation.* can differ from what was trained"),
        (["training.batch_size=8"], "command line: training.batch_size: only evaluation.* can differ from what was"),
        (["evaluation.samplers=3"], "{config}: evaluation.samplers: no such field (did you mean sampler?); allowed: "),
        (["evaluation.sampler={kind: heun}"], "{checkpoint}: evaluation: sampler heun needs process edm or flow, not"),
        (["--blocks", "0"], "{checkpoint}: num_blocks must be in 1.."),
    ],
)
def test_wrong_settings_are_refused(trained: Trained, no_ray: None, arguments: list[str], message: str) -> None:
    config, checkpoint = trained.run_dir / "experiment.json", trained.run_dir / "checkpoint.pt"
    start = message.format(config=config, checkpoint=checkpoint)
    assert refused(trained.workplace, trained.run_dir, *arguments).startswith(start)


def test_a_damaged_checkpoint_and_one_of_another_network_are_refused(
    trained: Trained, no_ray: None, copied: Path
) -> None:
    checkpoint, config = copied / "checkpoint.pt", copied / "experiment.json"
    plain = json.loads(config.read_text())
    config.write_text(json.dumps(plain | {"model": plain["model"] | {"hidden_size": 24}}))
    assert refused(trained.workplace, copied).startswith(
        f"{checkpoint}: does not fit the experiment: RuntimeError: Error(s) in loading state_dict for "
    )
    config.write_text(json.dumps(plain))
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    assert refused(trained.workplace, copied).startswith(f"{checkpoint}: {checkpoint} is not a readable checkpoint: ")


@pytest.mark.parametrize("is_there", [True, False])
def test_an_unfinished_run_whose_checkpoint_is_damaged_or_set_aside_is_evaluated_from_the_one_before(
    trained: Trained, no_ray: None, copied: Path, is_there: bool
) -> None:
    checkpoint, before = copied / "checkpoint.pt", copied / "checkpoint.before.pt"
    shutil.copy(checkpoint, before)
    if is_there:
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    else:
        checkpoint.unlink()
    names = {path.name for path in copied.iterdir()}
    status, out, err = trained.workplace.call("evaluate", copied, "--blocks", "2")
    assert (status, err) == (0, "")
    *told, line = out[: out.index(" (easy to hard")].splitlines()
    assert line == str(before)
    words = f"{checkpoint} is not a readable checkpoint: it was cut off or changed; the run is evaluated from the one"
    assert [text[20:] for text in told] == is_there * [f"{words} before, at 64 images"]
    assert {path.name for path in copied.iterdir()} == names  # It may be under way.


def test_weights_that_are_not_finite_are_refused(trained: Trained, no_ray: None, copied: Path) -> None:
    state = torch.load(copied / "checkpoint.pt", weights_only=True)
    state["ema"] = {name: torch.full_like(tensor, torch.nan) for name, tensor in state["ema"].items()}
    torch.save(state, copied / "checkpoint.pt")
    assert refused(trained.workplace, copied).startswith(f"{copied / 'checkpoint.pt'}: ")
    assert len(evaluations(trained.workplace)) <= 2


def test_data_that_have_gone_are_named(trained: Trained, no_ray: None, copied: Path) -> None:
    plain = json.loads((copied / "experiment.json").read_text())
    (copied / "experiment.json").write_text(json.dumps(plain | {"data": {"kind": "folder", "path": "/nowhere"}}))
    assert refused(trained.workplace, copied).startswith(
        f"{copied / 'checkpoint.pt'}: data: path: /nowhere does not exist"
    )


def test_an_unreachable_tracking_server_is_named(
    trained: Trained, no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{probe.getsockname()[1]}"  # nobody listens there
        monkeypatch.setattr(trained.workplace, "tracking_uri", uri)
        assert refused(trained.workplace, trained.run_dir).startswith(f"MLflow cannot be used at {uri}: ")


def test_the_config_in_a_runs_folder_is_the_run(trained: Trained) -> None:
    plain = json.loads((trained.run_dir / "experiment.json").read_text())
    assert plain["plugins"] == ["witness.py"]
    assert validated(Experiment, plain, "config").identity() == trained.run_dir.name


def test_an_evaluation_that_is_asked_to_stop_goes_on_after_the_block_that_it_was_in(
    trained: Trained, no_ray: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, original = list[int](), Generation.block

    def block(self: Generation, network: Any, first: int, count: int) -> Any:
        if count == self.batch_size:  # not the grid
            made.append(first)
            if len(made) == 4:
                os.kill(os.getpid(), signal.SIGUSR1)
        return original(self, network, first, count)

    monkeypatch.setattr(Generation, "block", block)
    pixels = "{kind: frechet, extractor: {kind: pixels, num_components: 4}, num_samples: 24}"
    arguments = (trained.run_dir, "--blocks", "2", f"evaluation.final_evaluators=[{pixels}]", "evaluation.batch_size=8")
    status, out, err = trained.workplace.call("evaluate", *arguments)
    assert (status, err) == (130, "\ninterrupted; the same command goes on from here\n")
    (kept,) = trained.workplace.results.glob("evaluate/*/evaluation-1.pt")  # of the second seed block
    assert out.endswith(f" asked to stop; what has been generated is kept in {kept.parent}\n")
    status, out, err = trained.workplace.call("evaluate", *arguments)
    assert (status, err) == (0, "")
    # The first seed block ended within seconds, so nothing is kept of it; the second goes on.
    assert made == [0, 8, 16, 24, 0, 8, 16, 32, 40]
    assert not list(kept.parent.glob("evaluation-*.pt"))
    resumed = values(out)
    made[:] = [0] * 10
    assert values(trained.workplace.call("evaluate", *arguments)[1]) == resumed
