"""A run's own files (checkpoints, samples) where its worker may be on another node than the command: from the bucket
when the run begins there, and to the bucket as they are written."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from curriculum_search.atomic import is_disk_full
from curriculum_search.lock import locked
from curriculum_search.storage.mirror import Copied, Mirror, stamp
from curriculum_search.storage.remote import Remote, download_all, why
from curriculum_search.storage.working_copy import PATIENCE_SECONDS

#: How long a run that has been asked to leave, or has failed, waits for its bucket.
_LEAVING_SECONDS = 20.0
_RETRY_SECONDS = 2.0
_OF_ONE_WORKER = re.compile(r"(?:evaluation-|checkpoint\.\d+\.part-|)(\d+)[.-]")  # as any worker writes


@contextmanager
def shared_run(
    address: str,
    run_dir: Path,
    *,
    rank: int,
    world_size: int,
    is_workers: Callable[[str], bool],
    tidy: Callable[[], None],
    tell: Callable[[str], None],
) -> Iterator[None]:
    """Train a run in a folder of this node that begins with what the bucket has of it, and is copied there.

    A file that nobody else has written since this node last copied it stays as it is here: it is as new, or newer, for
    a storage that does not answer is waited for without holding up the run.

    Args:
        address: of the run's folder in the bucket; "" where the run is on storage that all nodes see.
        run_dir: its folder here.
        rank: of this process among the workers of the run.
        world_size: how many there are; files of more, from before, are shared out among them.
        is_workers: whether a file, by its path in the run's folder, is written by its workers.
        tidy: removes what is not needed any more, when the run has come to its end.
        tell: takes a line for the user.

    Raises:
        OSError: the storage has not answered for half an hour, at the beginning or at the end.
    """
    if not address:
        yield
        return
    remote = Remote.of(address)
    own = ".copied-run.json" if rank == 0 else f".copied-run-{rank}.json"

    def owns(name: str) -> bool:
        found = _OF_ONE_WORKER.match(name)
        return is_workers(name) and (int(found[1]) if found else 0) % world_size == rank

    with locked(run_dir / ".copied-run.lock", seconds=PATIENCE_SECONDS):  # One worker of a node fetches for all.
        _fetch(remote, run_dir, is_workers, tell)
    copied = Copied.read(run_dir / own)
    with Mirror(run_dir, remote, copied, owns=owns, tell=tell, patience_seconds=PATIENCE_SECONDS, asks=True) as mirror:
        ended = False
        try:
            yield
            ended = True
        except SystemExit:  # It has been stopped by whoever compares runs.
            ended = True
            raise
        finally:
            end = time.monotonic() + (PATIENCE_SECONDS if ended else _LEAVING_SECONDS)
            if ended:
                tidy()
            trouble = mirror.flush(lambda: min(end - time.monotonic(), mirror.patience_left))
        if trouble:
            raise OSError(f"{remote}: the end of the run cannot be copied there: {trouble}")


def _fetch(remote: Remote, run_dir: Path, is_workers: Callable[[str], bool], tell: Callable[[str], None]) -> None:
    copied = Copied.read(run_dir / ".copied-run.json")

    def note(path: Path) -> None:
        name = path.relative_to(run_dir).as_posix()
        copied.here[name], copied.there[name] = stamp(path.stat()), there[name]

    end, told = time.monotonic() + PATIENCE_SECONDS, False
    while True:
        try:
            there = {name: version for name, version in remote.versions().items() if is_workers(name)}
            news = [n for n, v in there.items() if copied.there.get(n) != v or not (run_dir / n).exists()]
            download_all({run_dir / name: remote / name for name in news}, note)
            copied.write()
            return
        except OSError as error:
            if is_disk_full(error) or time.monotonic() > end:
                raise
            if not told:
                tell(f"{remote}: cannot be fetched: {why(error)}; waiting for it")
                told = True
            time.sleep(_RETRY_SECONDS)
