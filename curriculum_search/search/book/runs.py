"""The runs of a study on disk: one folder each, with its config, its log and its result.

    runs/<identity>/experiment.json    the resolved config, and beside it the plug-ins that it names
                    log.jsonl          every report and change of stage, as it came
                    checkpoint.pt      of the last evaluation
                    samples.png        generated images at the end
                    result.json        written last: how it ended
                    error.txt          of a run that failed: where

What is in these folders is the truth about the study: MLflow is a copy of it, and a run that has a result is never
trained again.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from curriculum_search.atomic import replacing
from curriculum_search.experiment import Experiment
from curriculum_search.search.execution.jobs import Job, Outcome, Status
from curriculum_search.tracking import RunLog, Tracker
from curriculum_search.training import GRID

_RESULT = "result.json"
_LOG = "log.jsonl"
_EXPERIMENT = "experiment.json"
_ERROR = "error.txt"
#: Marks the folder of a run that another study has trained.
ADOPTED = "adopted"


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A run that has ended.

    Attributes:
        status: how it ended.
        metrics: the values of its last report.
        images: images seen at its last report.
        seconds: from start to end, evaluation and waiting for reports included.
        exposure: share of the draws by interval of q, ``{"edges": [...], "mass": [...]}``; of a finished run.
        reason: what went wrong, if it did.
    """

    status: Status
    metrics: Mapping[str, float]
    images: int
    seconds: float
    exposure: Mapping[str, list[float]] = field(default_factory=dict)
    reason: str = ""

    @classmethod
    def load(cls, run_dir: Path) -> "RunResult | None":
        """The result in a run's folder, None where the run has not ended."""
        try:
            fields = json.loads((run_dir / _RESULT).read_text())
        except FileNotFoundError:
            return None
        return cls(**{**fields, "status": Status(fields["status"])})

    def save(self, run_dir: Path) -> None:
        """Write the result, in one move."""
        with replacing(run_dir / _RESULT) as partial:
            partial.write_text(json.dumps({**asdict(self), "status": self.status.value}))


@dataclass(kw_only=True)
class Curve:
    """What a run has reported so far: at each evaluation the images seen and the metrics."""

    images: list[int] = field(default_factory=list)
    metrics: list[Mapping[str, float]] = field(default_factory=list)
    switches: list[Mapping[str, Any]] = field(default_factory=list)
    exposure: Mapping[str, list[float]] = field(default_factory=dict)

    def points(self, metric: str) -> list[tuple[int, float]]:
        """(images, value) wherever `metric` was reported."""
        return [(i, m[metric]) for i, m in zip(self.images, self.metrics, strict=True) if metric in m]

    def columns(self, metric: str) -> tuple[list[int], list[float]]:
        """The images and the values of `points`."""
        points = self.points(metric)
        return [images for images, _ in points], [value for _, value in points]

    def add(self, report: Mapping[str, Any]) -> bool:
        """Take a report; False if it was there already, as after a resume."""
        if self.images and report["images"] <= self.images[-1]:
            return False
        self.images.append(report["images"])
        self.metrics.append(report["metrics"])
        self.switches += report["switches"]
        self.exposure = report.get("exposure") or self.exposure
        return True


class RunBook:
    """Keeps the runs of a study: makes their folders, writes what they report, and knows which have ended.

    Args:
        root: the study's folder.
        cache_dir: where reference statistics are kept.
        plugins: file name to source text of the user's own kinds.
        tracker: the copy in MLflow.
        objective: the metric whose best and last values stand for a run.
        direction: whether less or more of it is better.
    """

    def __init__(
        self,
        root: Path,
        *,
        cache_dir: Path,
        plugins: dict[str, str],
        tracker: Tracker,
        objective: str,
        direction: Literal["minimize", "maximize"],
    ) -> None:
        self.root = root
        self.objective = objective
        self.better = min if direction == "minimize" else max
        self.cache_dir = cache_dir
        self.plugins = plugins
        self.tracker = tracker
        self.curves: dict[str, Curve] = {}
        self._started: dict[str, float] = {}

    def folder(self, key: str) -> Path:
        """The folder of a run."""
        return self.root / "runs" / key

    def result(self, key: str) -> RunResult | None:
        """How a run ended; None if it has not."""
        return RunResult.load(self.folder(key))

    def forget(self, key: str) -> None:
        """Take back that a run has ended; it goes on from its checkpoint."""
        (self.folder(key) / _RESULT).unlink()

    def curve(self, key: str) -> Curve:
        """What a run has reported, from its log the first time it is asked for."""
        if key not in self.curves:
            curve = Curve()
            for record in RunLog(self.folder(key) / _LOG).read():
                if record["kind"] == "report":
                    curve.add(record)
            self.curves[key] = curve
        return self.curves[key]

    def start(self, experiment: Experiment, *, name: str, tags: Mapping[str, str]) -> Job:
        """Open a run's folder (again) and give the job that trains it."""
        key = experiment.identity()
        run_dir = self.folder(key)
        run_dir.mkdir(parents=True, exist_ok=True)
        plain = experiment.to_dict()
        (run_dir / _EXPERIMENT).write_text(json.dumps(plain | {"plugins": list(self.plugins)}, indent=1))
        for plugin, source in self.plugins.items():
            (run_dir / plugin).write_text(source)
        self._started[key] = time.time()
        self.tracker.start_run(key, name=name, params=tracked_params(experiment), tags=tags)
        self.tracker.log_artifact(key, run_dir / _EXPERIMENT)
        return Job(
            key=key,
            experiment=plain,
            run_dir=run_dir.resolve(),
            cache_dir=self.cache_dir,
            plugins=self.plugins,
            working_dir=Path.cwd(),
        )

    def reported(self, key: str, report: Mapping[str, Any]) -> bool:
        """Write a report to the run's log and to MLflow; False if it had been reported before."""
        if not self.curve(key).add(report):
            return False
        RunLog(self.folder(key) / _LOG).append({"kind": "report", "time": time.time(), **report})
        self.tracker.log_metrics(key, report["images"], report["metrics"])
        return True

    def ended(self, key: str, outcome: Outcome) -> RunResult:
        """Write how a run ended."""
        curve = self.curve(key)
        status, reason = outcome.status, outcome.reason
        if outcome.trace:
            error = self.folder(key) / _ERROR
            error.write_text(outcome.trace)
            self.tracker.log_artifact(key, error)
            reason = f"{reason} ({error})"
        metrics = curve.metrics[-1] if curve.metrics else {}
        result = RunResult(
            status=status,
            metrics=metrics,
            images=curve.images[-1] if curve.images else 0,
            seconds=time.time() - self._started.get(key, time.time()),
            exposure=curve.exposure,
            reason=reason,
        )
        if (grid := self.folder(key) / GRID).exists():
            self.tracker.log_artifact(key, grid)
        good = status in (Status.FINISHED, Status.STOPPED)
        self.tracker.set_tags(key, {"outcome": status.value} | ({"reason": result.reason} if result.reason else {}))
        self.tracker.end_run(key, status="FINISHED" if good else "FAILED", best=self._standing(curve, status))
        result.save(self.folder(key))  # last: what is interrupted before has not ended, and ends again
        return result

    def adopt(self, experiment: Experiment, runs: Path, *, name: str, tags: Mapping[str, str]) -> None:
        """Take over a run that has finished in another study, unless there is none or it is here already.

        Args:
            experiment: what was trained.
            runs: the other study's ``runs`` folder.
            name: of the run in MLflow.
            tags: of the run in MLflow.
        """
        key = experiment.identity()
        result = RunResult.load(runs / key)
        if result is None or result.status is not Status.FINISHED or self.folder(key).exists():
            return
        partial = self.folder(f".{key}")
        shutil.copytree(runs / key, partial, dirs_exist_ok=True)
        (partial / ADOPTED).touch()
        partial.rename(self.folder(key))
        self.tracker.start_run(key, name=name, params=tracked_params(experiment), tags=tags)
        for path in (_EXPERIMENT, GRID):
            if (self.folder(key) / path).exists():
                self.tracker.log_artifact(key, self.folder(key) / path)
        curve = self.curve(key)
        for images, metrics in zip(curve.images, curve.metrics, strict=True):
            self.tracker.log_metrics(key, images, metrics)
        self.tracker.end_run(key, status="FINISHED", best=self._standing(curve, result.status))

    def interrupted(self) -> None:
        """Say that the runs which have begun and not ended are not under way any more."""
        for key in self._started:
            if self.result(key) is None:
                self.tracker.end_run(key, status="KILLED")

    def _standing(self, curve: Curve, status: Status) -> dict[str, float]:
        """What stands for a run in MLflow's table: its best value, and if it came to its end, the value there."""
        values = [value for _, value in curve.points(self.objective)]
        if not values:
            return {}
        best = {f"best_{self.objective}": self.better(values)}
        return best | ({f"end_{self.objective}": values[-1]} if status is Status.FINISHED else {})


def tracked_params(experiment: Experiment) -> dict[str, str]:
    """The few settings that tell runs apart in a table; the whole config is an artifact of the run."""
    plain = experiment.to_dict()
    curriculum = experiment.curriculum.canonical().to_dict()
    params = {
        "order": curriculum["order"]["kind"],
        "seed": str(experiment.seed),
        "learning_rate": f"{plain['training']['learning_rate']:.3g}",
        "process": plain["process"]["kind"],
        "density": plain["density"]["kind"],
        "weighting": plain["weighting"]["kind"],
    }
    if curriculum["order"]["kind"] != "none":
        params |= {
            "clusters": str(curriculum["num_clusters"]),
            "partition": curriculum["partition"]["kind"],
            "pacing": curriculum["pacing"]["kind"],
            "accumulation": curriculum["accumulation"]["kind"],
        }
        if (end_share := curriculum["pacing"].get("end_share")) is not None:
            params["end_share"] = f"{end_share:.3g}"
    return params
