"""The full evaluation of a trained run: what jobs/evaluate.py does."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from curriculum_search.evaluation import Diverged, Table, evaluate, save_grid
from curriculum_search.experiment import Experiment
from curriculum_search.loading import UserError, define_plugins, load_experiment, read_plugins, validated, with_values
from curriculum_search.search.arms import describe
from curriculum_search.tracking import STUDY, Tracker, tracking_uri
from curriculum_search.training import CHECKPOINT, default_device
from curriculum_search.training.checkpoint import load

_FOLDER = "evaluate"
_GRID = "samples.png"
_TABLE = "evaluation.txt"
_SEND_SECONDS = 60.0


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


def find_trained(target: Path, overrides: Mapping[str, Any], root: Path) -> Trained:
    """The run that a checkpoint, a run's folder or an experiment file stands for.

    Args:
        target: a checkpoint, the folder that it lies in, or an experiment in YAML such as a best.yaml.
        overrides: of the experiment, by dotted path; only its evaluation can differ from what was trained.
        root: the folder of all results, where the run of an experiment file is looked for.

    Raises:
        UserError: there is no such run, or an override is of something that was trained.
    """
    for path in overrides:
        if not path.startswith("evaluation."):
            raise UserError(f"command line: {path}: only evaluation.* can differ from what was trained")
    if target.suffix in (".yaml", ".yml"):
        identity = load_experiment(target, {})[0].identity()
        experiment, _ = load_experiment(target, overrides)
        folders = [target.parent, *(p for p in (root.iterdir() if root.is_dir() else ()) if p.is_dir())]
        candidates = [folder / "runs" / identity / CHECKPOINT for folder in folders]
        found = next((path for path in candidates if path.exists()), None)
        if found is None:
            raise UserError(
                f"{target}: has no checkpoint beside it nor under {root}; train it first: python jobs/train.py {target}"
            )
        return Trained(experiment=experiment, identity=identity, checkpoint=found)
    saved = target / CHECKPOINT if target.is_dir() else target
    config = saved.parent / "experiment.json"
    if not saved.exists() or not config.exists():
        raise UserError(f"{target}: is no run: it needs {CHECKPOINT} and experiment.json in one folder")
    raw = json.loads(config.read_text())
    define_plugins(read_plugins(raw["plugins"], str(config), saved.parent))
    identity = validated(Experiment, raw, str(config)).identity()
    experiment = validated(Experiment, with_values(raw, overrides, "command line"), str(config))
    return Trained(experiment=experiment, identity=identity, checkpoint=saved)


def evaluate_trained(run: Trained, *, root: Path, cache_dir: Path, num_blocks: int) -> Table:
    """Evaluate a run over seed blocks, print the table and log it to MLflow.

    Raises:
        UserError: the evaluation does not fit the data, or the run has diverged.
    """
    experiment, device = run.experiment, default_device()
    torch.set_num_threads(experiment.resources.cpus_per_worker)
    state = load(run.checkpoint, device)
    network = experiment.build_network(experiment.data.load()).to(device)
    network.load_state_dict(state["ema"])
    network.eval().requires_grad_(False)
    tracker = Tracker(
        root / _FOLDER / "tracking", uri=tracking_uri(root), study=_FOLDER, experiment="curriculum-search"
    )
    try:
        tracker.check()
        table = evaluate(
            experiment.evaluation,
            network=network,
            process=experiment.process,
            source=experiment.data,
            device=device,
            cache_dir=cache_dir,
            num_blocks=num_blocks,
        )
    except (ValueError, FileNotFoundError, Diverged) as error:
        raise UserError(f"{run.checkpoint}: {error}") from error
    folder = root / _FOLDER / run.identity
    folder.mkdir(parents=True, exist_ok=True)
    save_grid(table.grid, folder / _GRID)
    (folder / _TABLE).write_text(table.text() + "\n")
    key = f"{run.identity}-{num_blocks}"
    name = f"{describe(experiment.curriculum)}, seed {experiment.seed}"
    tracker.start_run(STUDY, name="jobs/evaluate.py")
    tracker.start_run(key, name=name, params={"checkpoint": run.identity}, tags={"protocol": table.protocol})
    tracker.log_metrics(key, state["images"], table.metrics())
    for path in (folder / _GRID, folder / _TABLE):
        tracker.log_artifact(key, path)
    for finished in (key, STUDY):
        tracker.end_run(finished, status="FINISHED")
    if unsent := tracker.close(_SEND_SECONDS):
        print(f"MLflow: {unsent}", flush=True)
    print(f"{run.checkpoint} ({name}), {state['images']:,} images seen\n")
    print(table.text())
    print(f"\nSamples: {folder / _GRID}\nMLflow:  {tracker.page()}", flush=True)
    return table
