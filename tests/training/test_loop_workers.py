"""Real workers: two processes train one run, and come to what one process comes to."""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from curriculum_search.curriculum import Curriculum, Linear, Plateau
from curriculum_search.experiment import Experiment
from curriculum_search.loading import validated
from curriculum_search.training import CHECKPOINT, PlainSession, Report, train
from curriculum_search.training import checkpoint as checkpoints

CURRICULA = {
    "linear": Curriculum(num_clusters=4, pacing=Linear()),
    "plateau": Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2)),
    "bank": Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.05)),
}
SETTINGS = {"linear": {"microbatch_size": 4}}
HALFWAY = "halfway"  # a run with a plateau that both workers leave at 160 images


class Halt(Exception):  # noqa: N818
    """A worker group is stopped."""


class Session(PlainSession):
    def report(self, report: Report) -> None:
        super().report(report)
        if self.run_dir.name == HALFWAY and report.images == 160:
            raise Halt


def worker(rank: int, folder: str) -> None:
    """Train every experiment in `folder` as one of two workers."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for path in sorted(Path(folder).glob("*.json")):
        experiment = validated(Experiment, json.loads(path.read_text()), path.name)
        run_dir = Path(folder, "two", path.stem)
        run_dir.mkdir(parents=True, exist_ok=True)
        session = Session(run_dir=run_dir, device=torch.device("cpu"))
        with suppress(Halt):
            train(experiment, session, Path(folder, "cache"))
        reports = json.dumps([asdict(report) for report in session.reports])
        (run_dir / f"reports of rank {rank}").write_text(reports)
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory, tiny: Callable[..., Experiment]) -> Path:
    folder = tmp_path_factory.mktemp("workers")
    for name, curriculum in {**CURRICULA, HALFWAY: CURRICULA["plateau"]}.items():
        experiment = tiny(curriculum=curriculum, training=SETTINGS.get(name, {}))
        (folder / f"{name}.json").write_text(json.dumps(experiment.to_dict()))
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    mp.spawn(worker, args=(str(folder),), nprocs=2)
    return folder


@pytest.mark.parametrize("name", CURRICULA)
def test_two_workers_reach_the_metrics_of_one(
    two_workers: Path, name: str, runner: Any, tiny: Callable[..., Experiment]
) -> None:
    first, second = (json.loads((two_workers / "two" / name / f"reports of rank {r}").read_text()) for r in (0, 1))
    runner(tiny(curriculum=CURRICULA[name], training=SETTINGS.get(name, {})))
    assert [r["images"] for r in first] == [r["images"] for r in second] == [80, 160, 240, 320]
    for one, a, b in zip(runner.session.reports, first, second, strict=True):
        assert a["switches"] == b["switches"] == list(one.switches)
        for metric in ("train_loss", "val_loss", "fd_pca4_24"):
            assert a["metrics"][metric] == b["metrics"][metric] == pytest.approx(one.metrics[metric], rel=1e-4)
    assert first[-1]["exposure"] == runner.session.reports[-1].exposure


def test_what_two_workers_began_one_can_end(two_workers: Path, runner: Any, tiny: Callable[..., Experiment]) -> None:
    """The number of workers is no part of a run's identity."""
    experiment = tiny(curriculum=CURRICULA["plateau"])
    alone = runner(experiment)
    session = PlainSession(run_dir=two_workers / "two" / HALFWAY, device=torch.device("cpu"))
    assert checkpoints.load(session.run_dir / CHECKPOINT)["images"] == 160
    result = runner(experiment, session)
    assert [report.images for report in session.reports] == [80, 160, 240, 320]
    assert result.exposure == alone.exposure
    for metric in ("train_loss", "val_loss", "fd_pca4_24"):
        assert result.metrics[metric] == pytest.approx(alone.metrics[metric], rel=1e-4)


def test_a_number_of_workers_that_cannot_share_the_noise_is_refused(tiny: Callable[..., Experiment]) -> None:
    with pytest.raises(ValueError, match=r"noise_shards must be a multiple of the number of workers \(3\), not 8"):
        tiny().check_workers(3)
