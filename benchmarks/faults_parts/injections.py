"""The faults: each is done to a command at a moment that somebody else has chosen."""

import os
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from faults_parts.bench import Bench
from faults_parts.commands import Command

Fault = Callable[[Bench, Command, random.Random], None]

NOTICE_SECONDS, OUTAGE_SECONDS, REFUSED_SECONDS, LOCKED_SECONDS = 10.0, 60.0, 5.0, 5.0


def sends(*numbers: signal.Signals) -> Fault:
    """Signals to the command, a tenth of a second apart."""

    def inject(bench: Bench, command: Command, chance: random.Random) -> None:
        for number in numbers:
            command.send(number)
            time.sleep(0.1)

    return inject


KILL = sends(signal.SIGKILL)


def notice(bench: Bench, command: Command, chance: random.Random) -> None:
    """SIGTERM to the command, and ten seconds later the end of all that it has started."""
    command.send(signal.SIGTERM)
    command.wait(NOTICE_SECONDS)
    command.send(signal.SIGKILL)
    for pid in bench.processes():
        kill(pid)


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process, if it is there."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def to_worker(number: signal.Signals) -> Fault:
    """A signal to one of the processes that train."""

    def inject(bench: Bench, command: Command, chance: random.Random) -> None:
        kill(chance.choice(trainers(bench)), number)

    return inject


def trainers(bench: Bench) -> list[int]:
    """The processes that have written the last steps."""
    found = [pid for pid in bench.workers() if (Path(f"/proc/{pid}/cwd")).resolve() == bench.folder.resolve()]
    if not found:
        raise RuntimeError(f"nobody trains: {[Path(f'/proc/{pid}/cmdline').read_bytes() for pid in bench.workers()]}")
    return found


def node_of_worker(bench: Bench, command: Command, chance: random.Random) -> None:
    """The end of the node that the run is on."""
    (pid,) = trainers(bench)
    bench.server.lose_node_of(pid)


def drained(bench: Bench, command: Command, chance: random.Random) -> None:
    """Notice that the node that the run is on goes away."""
    (pid,) = trainers(bench)
    bench.server.drain_node_of(pid, NOTICE_SECONDS)


def head(bench: Bench, command: Command, chance: random.Random) -> None:
    """The end of the cluster's head, and with it of the cluster."""
    bench.server.lose_head()


def touches(name: str) -> Fault:
    """A file that the plug-in obeys."""

    def inject(bench: Bench, command: Command, chance: random.Random) -> None:
        (bench.folder / name).touch()

    return inject


def then(first: Fault, damage: Callable[[bytes, random.Random], bytes], *patterns: str, of: str = "results") -> Fault:
    """A fault that ends the command, after which the files that match are damaged; of the results, or of the cache."""

    def inject(bench: Bench, command: Command, chance: random.Random) -> None:
        first(bench, command, chance)
        command.wait()
        folder: Path = getattr(bench, of)
        for path in sorted({path for pattern in patterns for path in folder.glob(pattern) if path.stat().st_size}):
            path.write_bytes(damage(path.read_bytes(), chance))

    return inject


def torn(content: bytes, chance: random.Random) -> bytes:
    """A file that ends within its last line."""
    start = content.rstrip(b"\n").rfind(b"\n") + 1
    return content[: chance.randrange(start + 1, max(len(content) - 1, start + 2))]


def cut(content: bytes, chance: random.Random) -> bytes:
    """A file that ends anywhere."""
    return content[: chance.randrange(len(content))]


def garbled(content: bytes, chance: random.Random) -> bytes:
    """A file that has lost its end, or of which some bytes in the middle are others."""
    if chance.random() < 0.5:
        return cut(content, chance)
    place = chance.randrange(len(content))
    return content[:place] + bytes(byte ^ 0xFF for byte in content[place : place + 16]) + content[place + 16 :]


def fill_disk(bench: Bench, command: Command, chance: random.Random) -> None:
    """No room on the disk of the results until the command has ended."""
    bench.server.fill()
    command.wait()
    bench.server.free()


def lock_database(bench: Bench, command: Command, chance: random.Random) -> None:
    """Nobody else can use MLflow's database for some seconds."""
    with sqlite3.connect(bench.results / "mlflow.db", timeout=30) as database:
        database.execute("BEGIN EXCLUSIVE")
        time.sleep(LOCKED_SECONDS)
        database.rollback()


def second_command(bench: Bench, command: Command, chance: random.Random) -> None:
    """The same command beside it, which has to refuse; the first one, of seconds, is halted meanwhile."""
    halted = [command.pid, *bench.processes()]
    for pid in halted:
        kill(pid, signal.SIGSTOP)
    second = bench.start()
    status = second.wait()
    for pid in halted:
        kill(pid, signal.SIGCONT)
    if status != 2 or "another command is at work there" not in second.output:
        raise RuntimeError(f"the second command was not refused: {second.output}")
    bench.commands.remove(second)  # It is no other try.


def server_killed(bench: Bench, command: Command, chance: random.Random) -> None:
    """The MLflow server is not there for some seconds."""
    bench.server.kill()
    command.wait(REFUSED_SECONDS)
    bench.server.start()


def server_frozen(bench: Bench, command: Command, chance: random.Random) -> None:
    """The MLflow server answers nobody for a minute."""
    bench.server.send(signal.SIGSTOP)
    time.sleep(OUTAGE_SECONDS)
    bench.server.send(signal.SIGCONT)


def server_refuses(bench: Bench, command: Command, chance: random.Random) -> None:
    """The MLflow server answers 500 for some seconds."""
    bench.server.refuse(lambda: time.sleep(REFUSED_SECONDS))


def storage_gone(bench: Bench, command: Command, chance: random.Random) -> None:
    """The storage server is not there for a minute."""
    bench.server.s3.kill()
    time.sleep(OUTAGE_SECONDS)
    bench.server.s3.start()
