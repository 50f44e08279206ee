"""The full evaluation of a trained run: what jobs/evaluate.py does."""

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from curriculum_search.evaluation import Diverged, Table, evaluate, save_grid
from curriculum_search.experiment import Experiment
from curriculum_search.loading import PluginRunner, UserError, load_experiment, validated, with_values
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import one_line, stamped
from curriculum_search.runs.progress import telling
from curriculum_search.runs.signals import stop_signals
from curriculum_search.runs.workspace import make_cache, workspace
from curriculum_search.storage import address_of, as_it_stands, folders
from curriculum_search.tracking import STUDY, check_metric_name
from curriculum_search.training import Interrupted, PlainSession, default_device
from curriculum_search.training.checkpoint import DamagedError, before, load
from curriculum_search.training.saver import Saver
from curriculum_search.training.unfinished import UnfinishedEvaluation

_FOLDER = "evaluate"
_GRID = "samples.png"
_TABLE = "evaluation.txt"
_UNFINISHED = "evaluation-{}.pt"  # what has been collected of a seed block


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained run.

    Attributes:
        experiment: what was trained, with the evaluation that is wanted now.
        identity: of what was trained.
        checkpoint: its last checkpoint.
    """

    experiment: Experiment
    identity: str
    checkpoint: Path


def find_trained(
    target: Path, overrides: Mapping[str, Any], root: Path, cache_dir: Path, runner: PluginRunner | None = None
) -> Trained:
    """The run that a checkpoint, a run's folder or an experiment file stands for.

    Args:
        target: a checkpoint, the folder that it lies in, or an experiment in YAML such as a best.yaml.
        overrides: of the experiment, by dotted path; only its evaluation can differ from what was trained.
        root: the folder of all results, where the run of an experiment file is looked for.
        cache_dir: where a run that is in a bucket is brought.
        runner: runs the plug-ins of the run; None: one that runs whatever is named.

    Raises:
        UserError: there is no such run, or an override is of something that was trained.
    """
    for path in overrides:
        if not path.startswith("evaluation."):
            raise UserError(f"command line: {path}: only evaluation.* can differ from what was trained")
    runner = runner or PluginRunner()
    if target.suffix in (".yaml", ".yml"):
        identity = _identity(load_experiment(target, {}, runner)[0], target)
        experiment, _ = load_experiment(target, overrides, runner)
        runs = [folder / "runs" / identity for folder in (target.parent, *folders(root))]
        candidates = (_last_checkpoint(RunFolder(as_it_stands(run, cache_dir))) for run in runs)
        found = next((path for path in candidates if path.exists()), None)
        if found is None:
            raise UserError(
                f"{target}: has no checkpoint beside it nor under {address_of(root)}; train it first: "
                f"python jobs/train.py {target}"
            )
        return Trained(experiment=experiment, identity=identity, checkpoint=found)
    saved = _last_checkpoint(RunFolder(target)) if target.is_dir() else target
    folder = RunFolder(saved.parent)
    config, raw = folder.experiment, folder.read_experiment()
    if not saved.exists() or not config.exists():
        raise UserError(f"{target}: is no run: it needs {folder.checkpoint.name} and {config.name} in one folder")
    if not raw:
        raise UserError(f"{config}: is only half written; train the run again, which writes it anew")
    runner.run(raw.get("plugins", ()), str(config), saved.parent)
    identity = _identity(validated(Experiment, raw, str(config)), config)
    experiment = validated(Experiment, with_values(raw, overrides, "command line"), str(config))
    return Trained(experiment=experiment, identity=identity, checkpoint=saved)


def _last_checkpoint(folder: RunFolder) -> Path:
    """The last one of a run, or the one before it where the last was damaged and has been set aside."""
    last, earlier = folder.checkpoint, before(folder.checkpoint)
    return earlier if earlier.exists() and not last.exists() else last


def _load(run: Trained, device: torch.device) -> tuple[Trained, dict[str, Any]]:
    """What an evaluation needs of a run's checkpoint, or of the one before it where that is damaged, which a line says;
    the run may be under way, so nothing is set aside.

    Raises:
        ValueError: it cannot be read or is damaged, and there is none before it.
    """
    only = {"identity", "images", "ema"}
    try:
        return run, load(run.checkpoint, device, only=only)
    except DamagedError as error:
        earlier = replace(run, checkpoint=before(run.checkpoint))
        if not earlier.checkpoint.exists():
            raise
        state = load(earlier.checkpoint, device, only=only)
        words = f"{error}; the run is evaluated from the one before, at {state['images']:,} images"
        print(stamped(words), flush=True)
        return earlier, state


def _identity(experiment: Experiment, where: Path) -> str:
    try:
        return experiment.identity()
    except OSError as error:
        raise UserError(f"{where}: {error.filename} cannot be read ({error.strerror})") from error


def evaluate_trained(run: Trained, *, root: Path, cache_dir: Path, num_blocks: int) -> Table:
    """Evaluate a run over seed blocks, print the table and log it to MLflow.

    The same evaluation again gives the same files and the same run in MLflow; other settings, or the same run after
    more images, others.  One that was interrupted goes on where it was.

    Raises:
        KeyboardInterrupt: a signal has asked to stop.
        UserError: MLflow does not answer, the evaluation does not fit the data, the checkpoint cannot be read or does
            not fit its config, or the run has diverged.
    """
    experiment, device = run.experiment, default_device()
    torch.set_num_threads(experiment.resources.cpus_per_worker)
    if not experiment.is_native:
        raise UserError(f"{run.checkpoint}: is of training code of your own, which has metrics of its own too")
    try:
        experiment.check()
        for name in experiment.evaluation.metric_names(final=True):
            check_metric_name(name)
        run, state = _load(run, device)
    except ValueError as error:
        raise UserError(f"{run.checkpoint}: {error}") from error
    settings = json.dumps([experiment.evaluation.to_dict(), num_blocks, state["images"]], sort_keys=True)
    key = f"{run.identity}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"
    folder = root / _FOLDER / key
    with workspace(folder, root=root, name=key) as space:
        space.connect()
        make_cache(cache_dir)
        try:
            with telling("data", experiment.preparing()):
                table = _evaluate(experiment, state, device, cache_dir, num_blocks, folder)
        except (ValueError, FileNotFoundError, Diverged) as error:
            raise UserError(f"{run.checkpoint}: {error}") from error
        save_grid(table.grid, folder / _GRID)
        (folder / _TABLE).write_text(table.text() + "\n")
        name = f"{experiment.describe()}, seed {experiment.seed}"
        tags = {"role": "evaluation", "protocol": table.protocol}
        space.begin(name=f"evaluate: {name}", params={"checkpoint": run.identity}, tags=tags)
        space.tracker.log_metrics(STUDY, state["images"], table.metrics())
        for path in (folder / _GRID, folder / _TABLE):
            space.tracker.log_artifact(STUDY, path)
        space.finish()
        for path in folder.glob(_UNFINISHED.format("*")):
            path.unlink()
    print(f"{address_of(run.checkpoint)} ({name}), {state['images']:,} images seen")
    print(f"data: {experiment.data.summary()}\n")
    print(table.text())
    print(f"\nSamples: {address_of(folder / _GRID)}\nMLflow:  {space.tracker.page()}", flush=True)
    return table


def _evaluate(
    experiment: Experiment,
    state: Mapping[str, Any],
    device: torch.device,
    cache_dir: Path,
    num_blocks: int,
    folder: Path,
) -> Table:
    """Evaluate the averaged weights of a state; what is interrupted is kept in a folder."""
    network = experiment.build_network(experiment.data.load()).to(device)
    try:
        network.load_state_dict(state["ema"])
    except RuntimeError as error:
        raise ValueError(f"does not fit the experiment: {one_line(error)}") from error
    network.eval().requires_grad_(False)
    session = PlainSession(run_dir=folder, device=device)

    def ask(asked: str) -> None:
        session.should_stop = True

    def keeper(block: int) -> UnfinishedEvaluation:
        return UnfinishedEvaluation(
            path=folder / _UNFINISHED.format(block),
            identity=state["identity"],
            images=state["images"],
            network=network,
            session=session,
            saver=saver,
            cadence=experiment.cadence,
            saved_at=time.monotonic(),
        )

    with Saver() as saver, stop_signals(ask):
        try:
            return evaluate(
                experiment.evaluation,
                network=network,
                process=experiment.process,
                source=experiment.data,
                device=device,
                cache_dir=cache_dir,
                encoder=experiment.encoder,
                num_blocks=num_blocks,
                keeper=keeper,
            )
        except Interrupted as stop:
            print(stamped(f"asked to stop; what has been generated is kept in {folder}"), flush=True)
            raise KeyboardInterrupt from stop
