"""The frame that a command works in: a folder of its own, and MLflow, which knows in the end how it went."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from curriculum_search.atomic import DiskFullError, is_disk_full
from curriculum_search.loading import UserError
from curriculum_search.lock import locked
from curriculum_search.runs.folder import is_workers_in_study
from curriculum_search.runs.job import stamped
from curriculum_search.storage import kept
from curriculum_search.tracking import STUDY, RunStatus, Tracker, tracking_uri

_EXPERIMENT = "curriculum-search"  # MLflow's, which holds all studies
_SEND_SECONDS = 60.0


@dataclass
class _Voice:
    """Says what there is to say of the storage, in any thread.

    Attributes:
        heard: takes it too.
    """

    heard: Callable[[str], None] = lambda words: None

    def tell(self, words: str) -> None:
        """Say it, with the time."""
        print(stamped(words), flush=True)
        self.heard(words)


@dataclass
class Workspace:
    """A folder that this command alone works in.

    Attributes:
        folder: what the command leaves.
        tracker: of its run in MLflow, and of all runs under it.
        voice: says what there is to say of the folder's storage.
    """

    folder: Path
    tracker: Tracker
    voice: _Voice = field(default_factory=_Voice)
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

    def listen(self, heard: Callable[[str], None]) -> None:
        """Have what is said of the folder's storage, as that it does not answer, heard too, in any thread."""
        self.voice.heard = heard

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

    A full disk ends it with one message.  Then MLflow has as much as there is room for.  A folder that
    stands for one in a bucket is kept as that is (`storage.kept`).

    Args:
        folder: of the command; it is made.
        root: the folder of all results.
        name: of the command's run in MLflow.

    Raises:
        UserError: another command is at work in the folder, it cannot be made, or a disk is full.
    """
    voice = _Voice()
    with _full_disk_is_the_users(folder), _alone(folder), kept(folder, is_workers=is_workers_in_study, tell=voice.tell):
        space = Workspace(folder, make_tracker(folder, root=root, name=name), voice)
        if damage := space.tracker.damage():
            print(f"MLflow: {damage}", flush=True)
        try:
            with _full_disk_is_the_users(folder):
                yield space
            space.finish()
        except BaseException as error:
            try:
                space.finish("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
            except OSError as unwritten:
                if not is_disk_full(unwritten):
                    raise
            raise
        finally:
            if unsent := space.tracker.close(_SEND_SECONDS):
                print(f"MLflow: {unsent}", flush=True)


def make_cache(folder: Path) -> None:
    """Make the folder for reference statistics, if it is not there yet.

    Raises:
        UserError: it cannot be made.
    """
    _make_folder(folder, "set CURRICULUM_SEARCH_CACHE to another")


def _make_folder(folder: Path, remedy: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if is_disk_full(error):
            raise
        raise UserError(f"{folder}: the folder cannot be made ({error.strerror}); {remedy}") from error


def make_tracker(folder: Path, *, root: Path, name: str) -> Tracker:
    """The tracker of a command that works in `folder`."""
    return Tracker(folder / "tracking", uri=tracking_uri(root), study=name, experiment=_EXPERIMENT)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second command out of a folder, where its file system can.

    Raises:
        UserError: one is at work there, or nothing can be written there.
    """
    remedy = "choose another with --results"
    _make_folder(folder, remedy)
    with ExitStack() as stack:
        try:
            no_locks = stack.enter_context(locked(folder / ".lock"))
        except BlockingIOError as error:
            raise UserError(f"{folder}: another command is at work there; wait for it, or stop it") from error
        except OSError as error:
            if is_disk_full(error):
                raise
            raise UserError(f"{folder}: cannot be written to ({error.strerror}); {remedy}") from error
        if no_locks:
            print(
                f"{folder}: its file system has no locks ({no_locks}), so a second command cannot be kept out; "
                f"see to it that there is none",
                flush=True,
            )
        yield


@contextmanager
def _full_disk_is_the_users(folder: Path) -> Iterator[None]:
    """Say in one message, of the file that could not be written or of `folder`, that a disk is full."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        named = Path(error.filename) if isinstance(error.filename, str) else folder / "a file"
        words = error if isinstance(error, DiskFullError) else DiskFullError(named, error)
        raise UserError(str(words)) from error
