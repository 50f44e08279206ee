"""The folder of one run: what its files are called, and how they are written and read.

runs/<identity>/experiment.json    the resolved config, and beside it the plug-ins that it names
                log.jsonl          every report and status as it came
                checkpoint.pt      where training goes on
                samples.png        generated images at the end
                result.json        written last: how it ended
                error.txt          of a run that failed: where
                data.json          of a run on its own: which images it was trained on
                adopted            of a run that another study has trained: an empty file
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curriculum_search.atomic import replacing
from curriculum_search.experiment import Experiment
from curriculum_search.loading import write_plugins
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.tracking import RunLog
from curriculum_search.training import CHECKPOINT, GRID, Report, StatusReport


@dataclass(frozen=True)
class RunFolder:
    """A run on disk, whether it is there already or not."""

    path: Path

    @property
    def experiment(self) -> Path:
        """The resolved config."""
        return self.path / "experiment.json"

    @property
    def checkpoint(self) -> Path:
        """Where training goes on."""
        return self.path / CHECKPOINT

    @property
    def grid(self) -> Path:
        """Generated images at the end."""
        return self.path / GRID

    @property
    def error(self) -> Path:
        """Where a run failed."""
        return self.path / "error.txt"

    @property
    def data(self) -> Path:
        """Which images a run on its own was trained on."""
        return self.path / "data.json"

    @property
    def adopted(self) -> bool:
        """Whether another study has trained the run."""
        return self._adopted.exists()

    @property
    def _adopted(self) -> Path:
        return self.path / "adopted"

    @property
    def _result(self) -> Path:
        return self.path / "result.json"

    @property
    def _log(self) -> RunLog:
        return RunLog(self.path / "log.jsonl")

    def write_experiment(self, experiment: Experiment, plugins: Mapping[str, str]) -> None:
        """Make the folder, and write the config and the plug-ins that it needs."""
        self.path.mkdir(parents=True, exist_ok=True)
        self.experiment.write_text(json.dumps(experiment.to_dict() | {"plugins": list(plugins)}, indent=1))
        write_plugins(self.path, plugins)

    def read_experiment(self) -> dict[str, Any]:
        """The config as plain values; empty where a killed command has left it half written."""
        try:
            plain: dict[str, Any] = json.loads(self.experiment.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return plain

    def check_data(self, experiment: Experiment) -> str:
        """What is wrong with the images of an experiment, if the run was trained on others; nothing is known of a run
        that says nothing of them."""
        images = experiment.data.load()
        try:
            known = json.loads(self.data.read_text())
        except (FileNotFoundError, ValueError):
            return ""
        if known["fingerprint"] == images.fingerprint:
            return ""
        return (
            f"the images are not those that the run in {self.path} was trained on ({known['summary']}; now "
            f"{images.summary}); bring them back, or remove that folder to train the run again"
        )

    def write_data(self, experiment: Experiment) -> None:
        """Write down which images a run is trained on."""
        images = experiment.data.load()
        with replacing(self.data) as partial:
            partial.write_text(json.dumps({"fingerprint": images.fingerprint, "summary": images.summary}))

    def write_report(self, report: Report) -> None:
        """Add a report to the log."""
        self._log.append({"kind": "report", "time": time.time(), **asdict(report)})

    def write_status(self, status: StatusReport) -> None:
        """Add a status to the log."""
        self._log.append({"kind": "status", "time": time.time(), **asdict(status)})

    def read_curve(self) -> Curve:
        """All reports of the log."""
        curve = Curve()
        for record in self._log.read():
            if record["kind"] == "report":
                curve.add(Report.from_plain(record))
            elif record["kind"] == "status":
                curve.status_images = max(curve.status_images, record["images"])
        return curve

    def write_result(self, result: RunResult) -> None:
        """Write how the run ended, in one move."""
        with replacing(self._result) as partial:
            partial.write_text(json.dumps({**asdict(result), "status": result.status.value}))

    def read_result(self) -> RunResult | None:
        """How the run ended; None if it has not."""
        try:
            fields = json.loads(self._result.read_text())
        except FileNotFoundError:
            return None
        return RunResult(**{**fields, "status": Status(fields["status"])})

    def remove_result(self) -> None:
        """Take back that the run has ended."""
        self._result.unlink()

    def adopt(self, other: "RunFolder") -> None:
        """Take over the folder of another study's run, in one move."""
        partial = self.path.with_name(f".{self.path.name}")
        shutil.copytree(other.path, partial, dirs_exist_ok=True)
        RunFolder(partial)._adopted.touch()
        partial.rename(self.path)
