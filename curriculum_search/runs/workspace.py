"""The frame that a command works in: a folder of its own, and MLflow, which knows in the end how it went."""

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from curriculum_search.loading import UserError
from curriculum_search.tracking import STUDY, RunStatus, Tracker, tracking_uri

_EXPERIMENT = "curriculum-search"  # MLflow's, which holds all studies
_SEND_SECONDS = 60.0


@dataclass
class Workspace:
    """A folder that this command alone works in.

    Attributes:
        folder: what the command leaves.
        tracker: of its run in MLflow, and of all runs under it.
    """

    folder: Path
    tracker: Tracker
    _begun: bool = field(default=False, init=False)

    def connect(self) -> None:
        """Find out whether MLflow can be used.

        Raises:
            UserError: it cannot.
        """
        try:
            self.tracker.check()
        except ValueError as error:
            raise UserError(str(error)) from error

    def begin(
        self, *, name: str, params: Mapping[str, str] | None = None, tags: Mapping[str, str] | None = None
    ) -> None:
        """Open the command's run in MLflow."""
        self._begun = True
        self.tracker.start_run(STUDY, name=name, params=params, tags=tags)

    def finish(self, status: RunStatus = "FINISHED", *, best: Mapping[str, float] | None = None) -> None:
        """Close the command's run in MLflow, with values that stand for all of it."""
        if self._begun:
            self.tracker.end_run(STUDY, status=status, best=best)
        self._begun = False


@contextmanager
def workspace(folder: Path, *, root: Path, name: str) -> Iterator[Workspace]:
    """Work in a folder.  Whatever ends that, the command's run in MLflow has a status, and what is not there is said.

    Args:
        folder: of the command; it is made.
        root: the folder of all results.
        name: of the command's run in MLflow.

    Raises:
        UserError: another command is at work in the folder.
    """
    with _alone(folder):
        space = Workspace(folder, make_tracker(folder, root=root, name=name))
        if damage := space.tracker.damage():
            print(f"MLflow: {damage}", flush=True)
        try:
            yield space
        except BaseException as error:
            space.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            raise
        finally:
            if unsent := space.tracker.close(_SEND_SECONDS):
                print(f"MLflow: {unsent}", flush=True)


def make_tracker(folder: Path, *, root: Path, name: str) -> Tracker:
    """The tracker of a command that works in `folder`."""
    return Tracker(folder / "tracking", uri=tracking_uri(root), study=name, experiment=_EXPERIMENT)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second command out of a folder.

    Raises:
        UserError: one is at work there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{folder}: another command is at work there; wait for it, or stop it") from error
        yield
