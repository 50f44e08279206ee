"""What faults cost, and whether anything comes out wrong.

    python benchmarks/faults.py                                       each fault ten times
    python benchmarks/faults.py --times 3 --only "Ctrl-C" "SIGTERM"

Each fault is injected into a small run (jobs/train.py) or a small study (jobs/search.py, one trial at a time, so that
it proposes the same whatever happens), each time in another results folder and when a random number of steps has been
logged.  Then the same command is given until it ends well.  Every curve has to be that of the undisturbed command, with
each point once in the log and in MLflow, and no partial file and no process may be left.

Lost are the images that the log knew of beyond the checkpoint that the next command found; a fault that the command
itself overcomes is counted by the restarts that it tells of.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlflow import MlflowClient

from curriculum_search.tracking import tracking_uri
from curriculum_search.training import checkpoint

REPOSITORY = Path(__file__).parents[1]
IMAGES, BATCH = 3_200, 16
TIMES = {"images_per_second", "train_seconds"}
MOST_COMMANDS = 5
MARK = "CURRICULUM_SEARCH_FAULTS"

STUDY = f"""
study:
  name: faults
  objective: val_loss
  trials: 2
  max_concurrent_trials: 1
  stopping: {{kind: none}}
  baselines: [no_curriculum]
  confirmation: null
base:
  data: {{kind: digits}}
  model: {{kind: dit, patch_size: 4, hidden_size: 16, depth: 1, num_heads: 2}}
  training: {{total_images: {IMAGES}, batch_size: {BATCH}, num_evaluations: 4}}
  cadence: {{status_images: {BATCH}, checkpoint_images: {10 * BATCH}}}
  evaluation:
    evaluators: [{{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}}]
    final_evaluators: []
    grid_images: 4
space:
  training.learning_rate: {{kind: float, low: 0.001, high: 0.01, log: true}}
"""

Job = Literal["train", "search"]
Curves = dict[str, list[tuple[int, dict[str, float]]]]


@dataclass
class Bench:
    """A results folder, and the command that works in it."""

    folder: Path
    job: Job
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def results(self) -> Path:
        return self.folder / "results"

    @property
    def runs(self) -> list[Path]:
        return sorted(self.results.glob("*/runs/*/"))

    def start(self) -> subprocess.Popen[str]:
        """Give the command, in a process group of its own, as a shell does."""
        study = self.folder / "faults.yaml"
        study.write_text(STUDY)
        cache = {"CURRICULUM_SEARCH_CACHE": str(self.folder.parent / "cache"), MARK: self.mark}
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        return subprocess.Popen(
            [sys.executable, f"jobs/{self.job}.py", str(study), "--results", str(self.results)],
            cwd=REPOSITORY,
            env={**os.environ, **cache, "PYTHONPATH": path, "MLFLOW_TRACKING_URI": "", "RAY_ADDRESS": "local"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def records(self, run: Path) -> Iterator[dict[str, Any]]:
        """The lines of a run's log that can be read."""
        for line in (run / "log.jsonl").read_bytes().splitlines() if (run / "log.jsonl").exists() else ():
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def logged(self) -> int:
        """Statuses so far, of all runs."""
        return sum(record["kind"] == "status" for run in self.runs for record in self.records(run))

    def lost(self) -> int:
        """Images in the logs of runs that have not ended, beyond their checkpoints."""
        total = 0
        for run in self.runs:
            if not (run / "result.json").exists():
                last = max((record.get("images", 0) for record in self.records(run)), default=0)
                total += max(last - self.saved(run), 0)
        return total

    @staticmethod
    def saved(run: Path) -> int:
        """Images of the newest checkpoint of a run that can be read."""
        newest = run / checkpoint.CHECKPOINT
        for path in (newest, checkpoint.before(newest)):
            try:
                return int(checkpoint.load(path)["images"])
            except ValueError:
                continue
        return 0

    def curves(self) -> Curves:
        """The values of each run at its evaluations, as often as they are in its log."""
        return {
            run.name: [
                (r["images"], {k: v for k, v in r["metrics"].items() if k not in TIMES})
                for r in self.records(run)
                if r["kind"] == "report"
            ]
            for run in self.runs
        }

    def tracked(self) -> dict[str, list[int]]:
        """Images of the points of each run's curve in MLflow."""
        client = MlflowClient(tracking_uri(self.results))
        found = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1_000)
        return {
            run.data.tags["curriculum_search.run"]: [
                point.step for point in client.get_metric_history(run.info.run_id, "val_loss")
            ]
            for run in found
            if "mlflow.parentRunId" in run.data.tags
        }

    def processes(self, words: bytes = b"") -> list[int]:
        """Living processes that this bench's commands have started, whose command line has `words`."""
        mark, found = f"{MARK}={self.mark}".encode(), []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes() and words in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:
                continue
        return found


Fault = Callable[[Bench, subprocess.Popen[str]], None]


def sends(*numbers: signal.Signals) -> Fault:
    """Signals to the command, a tenth of a second apart."""

    def inject(bench: Bench, process: subprocess.Popen[str]) -> None:
        for number in numbers:
            process.send_signal(number)
            time.sleep(0.1)

    return inject


def then(first: Fault, damage: Callable[[bytes], bytes], pattern: str) -> Fault:
    """A fault that ends the command, after which the files that match are damaged."""

    def inject(bench: Bench, process: subprocess.Popen[str]) -> None:
        first(bench, process)
        process.wait()
        for path in bench.results.glob(pattern):
            path.write_bytes(damage(path.read_bytes()))

    return inject


def to_worker(number: signal.Signals) -> Fault:
    """A signal to the process that trains."""

    def inject(bench: Bench, process: subprocess.Popen[str]) -> None:
        for pid in bench.processes(b"ray::"):
            if b"run_trial" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, number)

    return inject


def fill_disk(bench: Bench, process: subprocess.Popen[str]) -> None:
    """No file of the command may grow beyond 20 kB any more."""
    for pid in {process.pid, *bench.processes(b"ray::")}:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (20_000, 20_000))


def lock_database(bench: Bench, process: subprocess.Popen[str]) -> None:
    """Nobody else can use MLflow's database for five seconds."""
    with sqlite3.connect(bench.results / "mlflow.db", timeout=30) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(5)
        database.rollback()


def second_command(bench: Bench, process: subprocess.Popen[str]) -> None:
    """The same command beside it, which has to refuse."""
    second = bench.start()
    output = second.communicate()[0]
    assert second.returncode == 2, output


KILL = sends(signal.SIGKILL)


def half(content: bytes) -> bytes:
    """The first half of a file."""
    return content[: len(content) // 2]


def torn(content: bytes) -> bytes:
    """A file whose last line has no end."""
    return content[:-20]


FAULTS: dict[str, tuple[Job, Fault]] = {
    "kill of the command": ("train", KILL),
    "Ctrl-C": ("train", sends(signal.SIGINT)),
    "Ctrl-C twice": ("train", sends(signal.SIGINT, signal.SIGINT)),
    "SIGTERM": ("train", sends(signal.SIGTERM)),
    "SIGUSR1": ("train", sends(signal.SIGUSR1)),
    "truncated checkpoint": ("train", then(KILL, half, "*/runs/*/checkpoint.pt")),
    "both checkpoints truncated": ("train", then(KILL, half, "*/runs/*/checkpoint*.pt")),
    "torn log": ("train", then(KILL, torn, "*/runs/*/log.jsonl")),
    "torn journal of MLflow": ("train", then(KILL, torn, "**/tracking/*.jsonl")),
    "disk full, then free": ("train", fill_disk),
    "database of MLflow locked": ("train", lock_database),
    "a second command": ("train", second_command),
    "kill of the driver": ("search", KILL),
    "Ctrl-C to the driver": ("search", sends(signal.SIGINT)),
    "kill of a worker": ("search", to_worker(signal.SIGKILL)),
    "SIGTERM to a worker": ("search", to_worker(signal.SIGTERM)),
}


@dataclass
class Found:
    """What one injection has led to.

    Attributes:
        lost: images that were trained again.
        commands: given until one ended well.
        wrong: what is not as it has to be.
    """

    lost: int
    commands: int
    wrong: list[str]


def new_bench(folder: Path, name: str, job: Job) -> Bench:
    """An empty results folder with a database of MLflow, which takes seconds to set up and is copied therefore."""
    bench, template = Bench(folder / name, job), folder / "template" / "mlflow.db"
    if not template.exists():
        template.parent.mkdir()
        MlflowClient(tracking_uri(template.parent)).search_experiments()
    bench.results.mkdir(parents=True)
    shutil.copy(template, bench.results)
    return bench


def inject(bench: Bench, fault: Fault, expected: Curves, chance: random.Random) -> Found:
    """One fault at a random moment, and the same command until it ends well."""
    process, lost, wrong = bench.start(), 0, list[str]()
    steps = IMAGES // BATCH * len(expected)
    moment = chance.randrange(1, steps - steps // 10)
    while bench.logged() < moment and process.poll() is None:
        time.sleep(0.02)
    if process.poll() is None:
        fault(bench, process)
    output, commands = process.communicate()[0], 1
    while process.returncode != 0 and commands < MOST_COMMANDS:
        lost += bench.lost()
        process = bench.start()
        output, commands = process.communicate()[0], commands + 1
    if process.returncode != 0:
        wrong.append(f"ended with {process.returncode}: {output[-500:]}")
    curves = bench.curves()
    if curves != expected:
        wrong.append("other curves than undisturbed")
    if bench.tracked() != {key: [images for images, _ in curve] for key, curve in curves.items()}:
        wrong.append("other points in MLflow than in the logs")
    if partial := list(bench.results.rglob("*.partial")):
        wrong.append(f"left {partial}")
    for _ in range(100):
        if not (left := bench.processes()):
            break
        time.sleep(0.1)
    else:
        wrong.append(f"left processes {left}")
    return Found(lost, commands, wrong)


def undisturbed(folder: Path, job: Job) -> Curves:
    """What a command comes to that nothing happens to."""
    bench = new_bench(folder, f"undisturbed {job}", job)
    process = bench.start()
    output = process.communicate()[0]
    if process.returncode != 0:
        raise RuntimeError(output)
    return bench.curves()


def main() -> None:
    """Inject each fault, and print a row of the table for it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10, help="of each fault")
    parser.add_argument("--only", nargs="+", choices=FAULTS, default=list(FAULTS), metavar="NAME", help="these faults")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    bad = False
    with tempfile.TemporaryDirectory(prefix="faults-") as root:
        folder = Path(root)
        expected = {job: undisturbed(folder, job) for job in dict.fromkeys(FAULTS[name][0] for name in arguments.only)}
        print(f"a checkpoint every {10 * BATCH} images\n")
        print("| fault | times | images lost, median (most) | commands, most | wrong |\n|---|---|---|---|---|")
        for name in arguments.only:
            job, fault = FAULTS[name]
            found = []
            for number in range(arguments.times):
                bench = new_bench(folder, f"{name} {number}", job)
                found.append(inject(bench, fault, expected[job], random.Random(f"{arguments.seed} {name} {number}")))
                shutil.rmtree(bench.folder)
            lost, commands = [each.lost for each in found], max(each.commands for each in found)
            wrong = [words for each in found for words in each.wrong]
            bad = bad or bool(wrong)
            print(
                f"| {name} | {len(found)} | {statistics.median(lost):.0f} ({max(lost)}) | {commands} "
                f"| {'; '.join(wrong) or 'none'} |",
                flush=True,
            )
    sys.exit(bad)


if __name__ == "__main__":
    main()
