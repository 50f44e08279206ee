"""Each fault: what it is called, the command that it befalls, what is done, and what has to come of it."""

import signal
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faults_parts import injections as of
from faults_parts.bench import BATCH, LONG_IMAGES, SMALL_IMAGES, Bench, Setting

from curriculum_search.runs.watch import STACKS

SILENCE_MINUTES = 0.2

TRAIN = Setting("train")
WITH_SERVER, IN_BUCKET, ON_DISK = Setting("train", "mlflow"), Setting("train", "storage"), Setting("train", "disk")
GROUP = Setting("train", "two cpus", workers=2)
STUDY = Setting("search", images=SMALL_IMAGES, runs=2)
ON_CLUSTER, ON_NODES = (Setting("search", name, images=SMALL_IMAGES, runs=2) for name in ("one cpu", "two nodes"))
STUDY_IN_BUCKET = Setting("search", "storage", images=SMALL_IMAGES, runs=2)
HANGS = Setting(
    "search", "one cpu", images=SMALL_IMAGES, runs=2, overrides=(f"cadence.silence_minutes={SILENCE_MINUTES}",)
)
DIVERGES = Setting(
    "search",
    "one cpu",
    images=LONG_IMAGES,
    runs=2,
    overrides=("cadence.status_images=null", "cadence.checkpoint_images=null"),
)


@dataclass(frozen=True)
class Noticed:
    """What the command has made of a fault that ends a run.

    Attributes:
        run: that has been ended.
        stays: whether it stays ended: the same command does not go on with it.
        done: steps that it had been trained for.
        steps: of training after which the fault was noticed; None: that does not go by steps.
        wrong: what is not as it has to be.
    """

    run: str
    stays: bool
    done: int
    steps: int | None
    wrong: list[str]


@dataclass(frozen=True)
class Kind:
    """A fault.

    Attributes:
        group: the row of the short table that it belongs to.
        setting: what it befalls.
        inject: it.
        notices: where it ends a run: what the first command has made of it.
    """

    group: str
    setting: Setting
    inject: of.Fault
    notices: Callable[[Bench], Noticed] | None = None


def _ended(bench: Bench, status: str) -> tuple[str, dict[str, Any], list[str]]:
    """The one run that has ended with a status that is not that of the others."""
    ends = bench.ends()
    found = [name for name, end in ends.items() if end["status"] == status]
    others = {end["status"] for name, end in ends.items() if name not in found}
    wrong = [] if len(found) == 1 and others <= {"finished"} else [f"{status}: {found}, others {others}"]
    return (found[0], ends[found[0]], wrong) if found else ("", {"reason": ""}, wrong)


def _silent(bench: Bench) -> Noticed:
    """The run has failed, and says why.  A trial of the search stays so."""
    name, end, wrong = _ended(bench, "failed")
    if f"it said nothing for {SILENCE_MINUTES:g} minutes" not in end["reason"]:
        wrong.append(f"another reason: {end['reason']}")
    is_trial = "\n  trial 0" in (bench.folder / "output-1.txt").read_text()
    return Noticed(name, is_trial, bench.steps() % (SMALL_IMAGES // BATCH), None, wrong)


def _hung(bench: Bench) -> Noticed:
    """The same, and it has left its stacks."""
    noticed = _silent(bench)
    stacks = next(bench.results.glob(f"*/runs/{noticed.run}/{STACKS}"), None) if noticed.run else None
    if stacks is None or "in hang_here" not in stacks.read_text():
        noticed.wrong.append("no stacks that say where")
    return noticed


def _diverged(bench: Bench) -> Noticed:
    """The run has diverged, and says at how many images that was noticed; it stays so."""
    name, end, wrong = _ended(bench, "diverged")
    if not end["reason"].startswith("the training loss is nan at "):
        return Noticed(name, True, 0, None, [*wrong, f"another reason: {end['reason']}"])
    done = int(end["reason"].split()[6]) // BATCH
    return Noticed(name, True, done, done - bench.obeyed("nan"), wrong)


_PROCESSES, _NOTICES, _FILES = "process or node killed", "asked to stop, or given notice", "damaged files"
_SERVICES, _RUNS = "MLflow or storage not there", "a run that hangs or diverges"
_DISK, _TWO = "disk full, database locked", "a second command"
_KILL = of.KILL

KINDS = {
    "kill of the command": Kind(_PROCESSES, TRAIN, _KILL),
    "kill of the driver": Kind(_PROCESSES, STUDY, _KILL),
    "kill of a trial's worker": Kind(_PROCESSES, ON_CLUSTER, of.to_worker(signal.SIGKILL)),
    "kill of one worker of a group of two": Kind(_PROCESSES, GROUP, of.to_worker(signal.SIGKILL)),
    "kill of a node": Kind(_PROCESSES, ON_NODES, of.node_of_worker),
    "kill of the head": Kind(_PROCESSES, ON_CLUSTER, of.head),
    "Ctrl-C": Kind(_NOTICES, TRAIN, of.sends(signal.SIGINT)),
    "Ctrl-C twice": Kind(_NOTICES, TRAIN, of.sends(signal.SIGINT, signal.SIGINT)),
    "SIGTERM": Kind(_NOTICES, TRAIN, of.sends(signal.SIGTERM)),
    "SIGUSR1": Kind(_NOTICES, TRAIN, of.sends(signal.SIGUSR1)),
    "Ctrl-C to a driver": Kind(_NOTICES, STUDY, of.sends(signal.SIGINT)),
    "SIGTERM to a driver, the end of all 10 s later": Kind(_NOTICES, STUDY, of.notice),
    "a node drained, with a notice of 10 s": Kind(_NOTICES, ON_NODES, of.drained),
    "SIGTERM to one worker of a group of two": Kind(_NOTICES, GROUP, of.to_worker(signal.SIGTERM)),
    "SIGTERM to a trial's worker": Kind(_NOTICES, ON_CLUSTER, of.to_worker(signal.SIGTERM)),
    "MLflow server killed, back after 5 s": Kind(_SERVICES, WITH_SERVER, of.server_killed),
    "MLflow server frozen for a minute": Kind(_SERVICES, WITH_SERVER, of.server_frozen),
    "MLflow server answers 500 for 5 s": Kind(_SERVICES, WITH_SERVER, of.server_refuses),
    "storage server gone for a minute": Kind(_SERVICES, IN_BUCKET, of.storage_gone),
    "storage server of a study gone for a minute": Kind(_SERVICES, STUDY_IN_BUCKET, of.storage_gone),
    "MLflow's database locked for 5 s": Kind(_DISK, TRAIN, of.lock_database),
    "disk full, then free": Kind(_DISK, ON_DISK, of.fill_disk),
    "truncated checkpoint": Kind(_FILES, TRAIN, of.then(_KILL, of.cut, "*/runs/*/checkpoint.pt")),
    "both checkpoints truncated": Kind(_FILES, TRAIN, of.then(_KILL, of.cut, "*/runs/*/checkpoint*.pt")),
    "torn line of a log": Kind(_FILES, TRAIN, of.then(_KILL, of.torn, "*/runs/*/log.jsonl")),
    "torn line of MLflow's journal": Kind(_FILES, TRAIN, of.then(_KILL, of.torn, "**/tracking/journal.jsonl")),
    "truncated log": Kind(_FILES, TRAIN, of.then(_KILL, of.cut, "*/runs/*/log.jsonl")),
    "truncated journal of MLflow": Kind(_FILES, TRAIN, of.then(_KILL, of.cut, "**/tracking/journal.jsonl")),
    "torn line of the search's journal": Kind(_FILES, STUDY, of.then(_KILL, of.torn, "*/study.journal")),
    "truncated journal of the search": Kind(_FILES, STUDY, of.then(_KILL, of.cut, "*/study.journal")),
    "what a study knows of itself truncated": Kind(
        _FILES, STUDY, of.then(_KILL, of.cut, "*/spent.json", "*/study.json", "*/tracking/sent.json")
    ),
    "damaged cache": Kind(
        _FILES, TRAIN, of.then(_KILL, of.garbled, "**/*.npz", "**/*.safetensors", "decoded/*", of="cache")
    ),
    "two commands": Kind(_TWO, TRAIN, of.second_command),
    "two drivers": Kind(_TWO, STUDY, of.second_command),
    "a run that hangs": Kind(_RUNS, HANGS, of.touches("hang"), notices=_hung),
    "a run whose process is halted (SIGSTOP)": Kind(_RUNS, HANGS, of.to_worker(signal.SIGSTOP), notices=_silent),
    "NaN in the loss": Kind(_RUNS, DIVERGES, of.touches("nan"), notices=_diverged),
}
