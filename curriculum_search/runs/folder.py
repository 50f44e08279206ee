"""The folder of one run: what its files are called, and how they are written and read.

runs/<identity>/experiment.json    the resolved config, and beside it the plug-ins that it names
                log.jsonl          every report and status as it came
                checkpoint.pt      where training goes on
                checkpoint.before.pt  where it goes on if that one is damaged, until the run has ended
                evaluation-N.pt    of an evaluation that was interrupted: what worker N has of it
                samples.png        generated images at the end
                samples/N.png      of an evaluation before, after N images
                result.json        written last: how it ended
                error.txt          of a run that failed: where
                data.json          of a run on its own: which images it was trained on
                *.damaged-N        one of these files that could not be read, and has made room for another
                .worker.lock       held by the worker that trains the run
                .lock              of a run on its own: held by the command
                placement_group    while several workers train it: the room that Ray holds for them
                adopted            of a run that another study has trained: an empty file
"""

import json
import shutil
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curriculum_search.atomic import room_for, set_aside, write_whole
from curriculum_search.experiment import Experiment
from curriculum_search.loading import write_plugins
from curriculum_search.runs.job import Status
from curriculum_search.runs.result import Curve, RunResult
from curriculum_search.tracking import RunLog
from curriculum_search.training import CHECKPOINT, GRID, GRIDS, Report, StatusReport, checkpoint

#: What of a run's folder the command writes, beside plug-ins; all else is the workers'.
_COMMANDS = ("experiment.json", "log.jsonl", "result.json", "error.txt", "data.json", "adopted", "placement_group")

#: What the worker that trains a run holds.
WORKERS_LOCK = ".worker.lock"

_BROKE_OFF = "broke off"  # a remark that begins so is of a restart

#: What reading a file raises that is not as it was written.
_DAMAGE = (ValueError, KeyError, TypeError, AttributeError)


def is_workers_file(name: str) -> bool:
    """Whether a file, by its path in a run's folder, is written by the run's workers, not by the command."""
    own = name.partition(".damaged-")[0]
    return own.startswith("own/") or not (own in _COMMANDS or own.endswith(".py"))


def is_workers_in_study(name: str) -> bool:
    """The same, by its path in the folder of a study."""
    first, _, rest = name.partition("/")
    _, inside, file = rest.partition("/")
    return first == "runs" and bool(inside) and is_workers_file(file)


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

    def earlier_grids(self) -> dict[int, Path]:
        """Images seen to the images generated then, of evaluations before the end, the first first."""
        grids = {int(path.stem): path for path in (self.path / GRIDS).glob("*.png") if path.stem.isdecimal()}
        return dict(sorted(grids.items()))

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
    def log(self) -> Path:
        """Every report and status as it came."""
        return self.path / "log.jsonl"

    @property
    def _log(self) -> RunLog:
        return RunLog(self.log)

    def write_experiment(self, experiment: Experiment, plugins: Mapping[str, str]) -> None:
        """Make the folder, and write the config and the plug-ins that it needs."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_whole(self.experiment, json.dumps(experiment.to_dict() | {"plugins": list(plugins)}, indent=1))
        write_plugins(self.path, plugins)

    def read_experiment(self) -> dict[str, Any]:
        """The config as plain values; empty where it is damaged, for whoever trains the run writes it anew."""
        try:
            plain = json.loads(self.experiment.read_text())
        except (FileNotFoundError, ValueError):
            return {}
        return plain if isinstance(plain, dict) else {}

    def check_data(self, experiment: Experiment) -> str:
        """What is wrong with the images of an experiment, if the run was trained on others; nothing is known of a run
        that says nothing of them."""
        if not experiment.is_native:  # The code, which finds its own data, is part of the run's identity.
            return ""
        images = experiment.data.load()
        try:
            known = json.loads(self.data.read_text())
            fingerprint, summary = known["fingerprint"], known["summary"]
        except (FileNotFoundError, NotADirectoryError, *_DAMAGE):
            return ""
        if fingerprint == images.fingerprint:
            return ""
        return (
            f"the images are not those that the run in {self.path} was trained on ({summary}; now "
            f"{images.summary}); bring them back, or remove that folder to train the run again"
        )

    def write_data(self, experiment: Experiment) -> None:
        """Write down which images a run is trained on, where it is our own loop that reads them."""
        if not experiment.is_native:
            return
        images = experiment.data.load()
        write_whole(self.data, json.dumps({"fingerprint": images.fingerprint, "summary": images.summary}))

    def write_report(self, report: Report) -> None:
        """Add a report to the log."""
        self._append({"kind": "report", **asdict(report)})

    def write_status(self, status: StatusReport) -> None:
        """Add a status to the log."""
        self._append({"kind": "status", **asdict(status)})

    def write_remark(self, words: str, at: float | None = None) -> None:
        """Add what has befallen the run to the log; it did so `at`, in seconds since 1970, or now."""
        self._append({"kind": "remark", "text": words} | ({} if at is None else {"time": at}))

    def write_restart(self, reason: str) -> str:
        """Add that the run has broken off and is started again to the log; says it, and for the how many-th time."""
        words = f"{_BROKE_OFF} for the {_ordinal(self.count_restarts() + 1)} time and is started again: {reason}"
        self.write_remark(words)
        return words

    def count_restarts(self) -> int:
        """How often the run has broken off and been started again, over all commands."""
        return sum(record["text"].startswith(_BROKE_OFF) for record in self._remarks())

    def read_remarks(self) -> list[str]:
        """What has befallen the run, a line each with its time."""
        return [f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(r['time']))} {r['text']}" for r in self._remarks()]

    def tidy(self) -> None:
        """Keep the last checkpoint alone, of a run that has ended."""
        checkpoint.keep_last(self.checkpoint)
        for path in self.path.glob("evaluation-*.pt"):
            path.unlink(missing_ok=True)

    def read_curve(self) -> Curve:
        """All reports of the log.

        Where a line of it cannot be read, the log is written anew and a line says so.  Nothing is lost of a run whose
        checkpoint is there, for that has every report, but for statuses on lines that cannot be read.  Without it the
        log is kept up to that line if the run is to go on, which says the rest again, else as far as it can be read.
        """
        return _curve(self._read_log())

    def span(self) -> tuple[float, float] | None:
        """When the first and the last line came that the log has, in seconds since 1970; None if it has none."""
        times = [record["time"] for record in self._read_log()]
        return (times[0], times[-1]) if times else None

    def write_result(self, result: RunResult) -> None:
        """Write how the run ended, in one move."""
        write_whole(self._result, json.dumps({**asdict(result), "status": result.status.value}))

    def read_result(self) -> RunResult | None:
        """How the run ended; None if it has not.

        A file that cannot be read is set aside, and a line says so: the run has not ended, and ends again as soon as
        it goes on from its checkpoint.
        """
        try:
            return self._parse_result()
        except _DAMAGE:
            aside = set_aside(self._result)
            print(
                f"{self._result}: cannot be read; it is now {aside.name}, and the run goes on from its checkpoint, "
                f"which ends it again",
                flush=True,
            )
            return None

    def find_result(self) -> RunResult | None:
        """How another study's run ended; None if it has not, or if that cannot be read."""
        try:
            return self._parse_result()
        except _DAMAGE:
            return None

    def write_error(self, trace: str) -> None:
        """Write where the run failed."""
        write_whole(self.error, trace)

    def remove_result(self) -> None:
        """Take back that the run has ended."""
        self._result.unlink()

    def adopt(self, other: "RunFolder") -> None:
        """Take over the folder of another study's run, in one move."""
        partial = self.path.with_name(f".{self.path.name}")
        shutil.copytree(other.path, partial, dirs_exist_ok=True)
        RunFolder(partial)._adopted.touch()
        partial.rename(self.path)

    def copy_for_reading(self, path: Path) -> None:
        """Make a folder at `path` that tells all that is known of the run: no checkpoint is copied, and its images are
        linked to.  The run may be under way."""
        path.mkdir(parents=True)
        for file in (self.experiment, self.log, self._result, self._adopted):
            with suppress(FileNotFoundError, NotADirectoryError):
                shutil.copyfile(file, path / file.name)
        for images in (self.grid, self.path / GRIDS):
            if images.exists():
                (path / images.name).symlink_to(images.resolve())

    def _remarks(self) -> list[dict[str, Any]]:
        return [record for record in self._read_log() if record["kind"] == "remark"]

    def _append(self, record: Mapping[str, Any]) -> None:
        with room_for(self.log):
            self._log.append({"kind": record["kind"], "time": time.time(), **record})

    def _parse_result(self) -> RunResult | None:
        try:
            fields = json.loads(self._result.read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        return RunResult(**{**fields, "status": Status(fields["status"])})

    def _checkpoint_reports(self) -> list[dict[str, Any]] | None:
        """All reports up to the last checkpoint that can be read; None if there is none."""
        for path in (self.checkpoint, checkpoint.before(self.checkpoint)):
            with suppress(ValueError, OSError, KeyError):
                return list(checkpoint.load(path, only={"reports"})["reports"])
        return None

    def _read_log(self) -> list[dict[str, Any]]:
        try:
            records = self._log.read()
            _curve(records)
        except _DAMAGE:
            return self._mend_log()
        return records

    def _mend_log(self) -> list[dict[str, Any]]:
        """Write the log anew from what can be read of it and of the checkpoint."""
        lines = self.log.read_bytes().removesuffix(b"\n").split(b"\n")
        records = [_record(line) for line in lines]
        first_bad = records.index(None)
        good = [record for record in records if record is not None]
        has_ended = self.find_result() is not None
        reports, source = self._checkpoint_reports(), ""
        if reports is None:
            reports = []
            good = good if has_ended else good[:first_bad]
        else:
            source = " and from its checkpoint"
            heard = {record["images"] for record in good if record["kind"] == "report"}
            last = max((record.get("images", 0) for record in good), default=0)  # The run says again what comes after.
            missing = [r for r in reports if r["images"] not in heard and (has_ended or r["images"] < last)]
            good += [{"kind": "report", "time": good[-1]["time"] if good else time.time(), **r} for r in missing]
            good.sort(key=lambda record: record.get("images", 0))
        aside = set_aside(self.log)
        write_whole(self.log, "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in good))
        print(
            f"{self.log}: line {first_bad + 1} cannot be read; it is now {aside.name}, and the log has been written "
            f"anew from its other lines{source}",
            flush=True,
        )
        return good


def run_folders(root: Path) -> list[RunFolder]:
    """The folders of the runs of the study or command in `root`, by their keys; what is hidden there is none."""
    return [RunFolder(path) for path in sorted((root / "runs").glob("[!.]*"))]


def _ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 21st."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _curve(records: Iterable[Mapping[str, Any]]) -> Curve:
    curve = Curve()
    for record in records:
        if record["kind"] == "report":
            curve.add(Report.from_plain(record))
        elif record["kind"] == "status":
            curve.status_images = max(curve.status_images, record["images"])
    return curve


def _record(line: bytes) -> dict[str, Any] | None:
    """A line of a log; None if it is none."""
    try:
        record: dict[str, Any] = json.loads(line)
        _curve([record])
        return record if isinstance(record["time"], float) else None
    except _DAMAGE:
        return None
