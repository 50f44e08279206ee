"""A fault at a random moment, the same command until it ends well, and whether all is then as it has to be."""

import fcntl
import itertools
import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from faults_parts.bench import BATCH, STUDY, WATCHED, Bench, Curves, Setting
from faults_parts.commands import Command
from faults_parts.kinds import Kind
from faults_parts.servers import SERVERS, Server, Storage
from mlflow import MlflowClient
from PIL import Image
from sklearn.datasets import load_digits

from curriculum_search.tracking import tracking_uri

_MOST_COMMANDS, _MOST_SECONDS, _LEAVE_SECONDS = 5, 300.0, 60.0
_NUM_IMAGES = 64
_UNSENT = "have not reached MLflow"


@dataclass(frozen=True)
class Undisturbed:
    """What a command comes to that nothing happens to.

    Attributes:
        curves: of its runs.
        steps: that were trained.
        cache: what it has left there.
    """

    curves: Curves
    steps: int
    cache: Path


@dataclass(frozen=True)
class Found:
    """What one injection has led to.

    Attributes:
        lost: images that were trained again.
        commands: given until one ended well.
        noticed: steps after which a run was ended, where it goes by steps.
        wrong: what is not as it has to be.
    """

    lost: int
    commands: int
    noticed: int | None
    wrong: list[str]


class Workshop:
    """A folder for benches, the data that all have, and the servers that some share.

    Args:
        folder: for all of it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._undisturbed: dict[Setting, Undisturbed] = {}
        self._numbers = itertools.count(1)
        images = folder / "images"
        images.mkdir()
        for number, pixels in enumerate(load_digits().images[:_NUM_IMAGES]):
            Image.fromarray((pixels * 15).astype(np.uint8)).save(images / f"{number}.png")
        self._database = folder / "template" / "mlflow.db"  # without runs; to set one up takes seconds
        self._database.parent.mkdir()
        MlflowClient(tracking_uri(self._database.parent)).search_experiments()

    def undisturbed(self, setting: Setting) -> Undisturbed:
        """What a setting's command comes to, without the servers that others need, and in its usual cadence, of which
        nothing that is trained depends."""
        alone = replace(setting, servers="none", overrides=())
        if alone not in self._undisturbed:
            number = len(self._undisturbed)
            bench = self.bench(f"undisturbed {number}", alone, self.folder / f"cache {number}")
            command = bench.start()
            if command.wait() != 0:
                raise RuntimeError(command.output)
            if bench.steps() != alone.steps:
                raise RuntimeError(f"{bench.steps()} steps, {len(bench.runs)} runs: not {alone.steps}, {alone.runs}")
            self._undisturbed[alone] = Undisturbed(bench.curves(), bench.steps(), bench.cache)
        return self._undisturbed[alone]

    def bench(self, name: str, setting: Setting, cache: Path | None = None) -> Bench:
        """An empty results folder, with a cache of its own unless one is given."""
        bench = Bench(self.folder / name, setting, cache or self.folder / name / "cache")
        bench.results.mkdir(parents=True)
        bench.cache.mkdir(exist_ok=True)
        (bench.folder / "faults.yaml").write_text(STUDY)
        (bench.folder / "watched.py").write_text(WATCHED)
        return bench

    @contextmanager
    def servers(self, name: str) -> Iterator[Server]:
        """What a setting needs, as long as it is needed."""
        server = SERVERS[name](self.folder / name)
        try:
            yield server
        finally:
            server.close()

    def inject(self, name: str, kind: Kind, server: Server, chance: random.Random) -> Found:
        """One fault, in a folder that is removed.  No two share one: MLflow knows databases by their paths."""
        undisturbed = self.undisturbed(kind.setting)
        bench = self.bench(f"{name} {next(self._numbers)}", kind.setting)
        shutil.copytree(undisturbed.cache, bench.cache, dirs_exist_ok=True)
        server.connect(bench)
        shutil.copy(self._database, bench.folder / "results")
        try:
            return _inject(bench, kind, undisturbed, chance)
        finally:
            bench.end()
            server.settle()
            shutil.rmtree(bench.folder)


def _inject(bench: Bench, kind: Kind, undisturbed: Undisturbed, chance: random.Random) -> Found:
    wrong = list[str]()
    moment = chance.randrange(1, bench.setting.steps * 9 // 10)
    command = bench.start()
    while bench.steps() < moment and command.status() is None:
        time.sleep(0.002)
    if command.status() is not None:
        wrong.append(f"ended before the fault: {command.output[-500:]}")
    else:
        kind.inject(bench, command, chance)
    _wait(bench, command, wrong)
    noticed = kind.notices(bench) if kind.notices is not None else None
    wrong += noticed.wrong if noticed is not None else []
    stays = noticed.run if noticed is not None and noticed.stays else ""
    while not _is_done(bench, command, stays) and len(bench.commands) < _MOST_COMMANDS:
        if bench.server is not None:
            bench.server.again(bench)
        command = bench.start()
        _wait(bench, command, wrong)
    if not _is_done(bench, command, stays):
        wrong.append(f"ended with {command.status()}: {command.output[-500:]}")
    wrong += _other_curves(bench, undisturbed.curves, stays)
    wrong += _other_in_mlflow(bench, stays)
    wrong += _left_files(bench)
    if isinstance(bench.server, Storage):
        wrong += _other_in_bucket(bench, bench.server)
    end = time.monotonic() + _LEAVE_SECONDS
    while (left := bench.processes()) and time.monotonic() < end:
        time.sleep(0.1)
    if left:
        wrong.append(f"left processes {[_title(pid) for pid in left]}")
    missing = bench.setting.images // BATCH - noticed.done if stays and noticed is not None else 0
    lost = BATCH * (bench.steps() - undisturbed.steps + missing)
    return Found(lost, len(bench.commands), noticed.steps if noticed else None, wrong)


def _is_done(bench: Bench, command: Command, stays: str) -> bool:
    """Whether the command has nothing left to do.  Where a run stays failed it says so each time, with status 1."""
    failed = {name for name, end in bench.ends().items() if end["status"] == "failed"}
    is_as_good = bool(stays) and failed == {stays} and len(bench.commands) > 1
    return command.status() == (1 if is_as_good else 0) and _UNSENT not in command.output


def _wait(bench: Bench, command: Command, wrong: list[str]) -> None:
    if command.wait(_MOST_SECONDS) is None:
        wrong.append(f"did not end in {_MOST_SECONDS:.0f} s: {command.output[-500:]}")
        bench.end()


def _other_curves(bench: Bench, expected: Curves, stays: str) -> list[str]:
    """What is not as undisturbed in the logs and results, but for a run that stays ended, whose curve is shorter."""
    wrong, curves = [], bench.curves()
    if curves.keys() != expected.keys():
        wrong.append(f"other runs than undisturbed: {sorted(curves)}, not {sorted(expected)}")
    for name in curves.keys() & expected.keys():
        if curves[name] != (expected[name][: len(curves[name])] if name == stays else expected[name]):
            wrong.append(f"another curve than undisturbed: {[images for images, _ in curves[name]]}")
    statuses = {name: end["status"] for name, end in bench.ends().items() if name != stays}
    if statuses != {name: "finished" for name in expected if name != stays}:
        wrong.append(f"runs have not finished: {statuses}")
    for run in bench.runs:
        log = run / "log.jsonl"  # which a run that diverges before it says anything has not
        lines = log.read_bytes() if log.exists() else b""
        if lines.rpartition(b"\n")[2] or len(list(bench.records(run))) != lines.count(b"\n"):
            wrong.append("a log with lines that cannot be read")
    return wrong


def _other_in_mlflow(bench: Bench, stays: str) -> list[str]:
    """What MLflow has otherwise than the logs."""
    points = {name: [(images, m["val_loss"]) for images, m in curve] for name, curve in bench.curves().items()}
    tracked = [(name, state if name != stays else "FINISHED", curve) for name, state, curve in bench.tracked()]
    expected = sorted((name, "FINISHED", curve) for name, curve in points.items())
    return [] if tracked == expected else [f"MLflow has {tracked}, the logs {expected}"]


def _left_files(bench: Bench) -> list[str]:
    """Partial files and locks that are held."""
    wrong = []
    for folder in (bench.folder / "results", bench.cache):
        if partial := [path.name for path in folder.rglob("*.partial")]:
            wrong.append(f"left {partial}")
        for path in folder.rglob("*.lock"):
            if path.is_symlink():  # of Optuna, which is held as long as it is there
                wrong.append(f"left {path.name}")
                continue
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    wrong.append(f"{path.name} is held")
    return wrong


def _other_in_bucket(bench: Bench, storage: Storage) -> list[str]:
    """What the bucket has otherwise than the folder of this machine."""
    there = bench.folder / "there"
    storage.bring(bench, there)
    wrong = [f"left {path.name} in the bucket" for path in there.rglob("*") if ".partial" in path.name]
    for run in bench.runs:
        for name in ("log.jsonl", "result.json", "checkpoint.pt", "samples.png", "experiment.json"):
            path = there / (run / name).relative_to(bench.results)
            if not path.exists() or path.read_bytes() != (run / name).read_bytes():
                wrong.append(f"another {name} in the bucket")
    if claims := [path.name for path in there.rglob("*") if "claims" in path.parts]:
        wrong.append(f"left {claims} in the bucket")
    return wrong


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")[:80]
    except OSError:
        return json.dumps(pid)
