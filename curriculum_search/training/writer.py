"""Who writes what of a run's checkpoints: the first worker all of it, or, of a sharded run, each worker its part.

What is written goes to the disk in the background (`saver`), where workers do not speak to each other.  So a checkpoint
in parts becomes the last one where they meet: when all have written their parts, the first writes the file that stands
for it, and only from then on is it one.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curriculum_search import distributed
from curriculum_search.training import checkpoint
from curriculum_search.training.saver import Saver
from curriculum_search.training.state import TrainingState


class CheckpointWriter:
    """Writes the state of a run to `path`.  Every worker has one, and calls each method where the others do.

    Args:
        path: of the last checkpoint.
        state: what is saved.
        saver: writes in the background.
    """

    def __init__(self, path: Path, state: TrainingState, saver: Saver) -> None:
        self.path = path
        self.state = state
        self.saver = saver
        self._pending: dict[str, Any] | None = None  # of a checkpoint whose parts are being written
        self._has_old_parts = False

    def save(self) -> None:
        """Have the present state, as gathered, written in the background.

        Raises:
            DiskFullError: there was no room for what was handed over before.
        """
        self.saver.save(self.states())

    def states(self) -> Mapping[Path, Mapping[str, Any]]:
        """What this worker has to hand to the saver for that."""
        if self._pending is not None:
            self.finish()
        rank, count = distributed.rank(), distributed.world_size()
        self.state.saves += 1
        if self.state.sharding is None:
            return {self.path: self.state.state_dict()} if rank == 0 else {}
        self._pending, own = self.state.sharding.split(self.state.state_dict() | {"parts": count})
        path = checkpoint.part(self.path, self.state.saves, rank, count)
        path.unlink(missing_ok=True)  # what a killed process had written
        return {path: {"identity": self.state.identity, **own}}

    def commit(self) -> None:
        """Have the checkpoint become the last one; called whenever all workers have their `saver.done`."""
        if self._pending is not None:
            if distributed.rank() == 0:
                self.saver.save({self.path: self._pending})
            self._pending, self._has_old_parts = None, True
        elif self._has_old_parts:  # Each worker removes them, for each may write to a disk of its own.
            checkpoint.remove_parts(self.path, self.state.saves - 1)
            self._has_old_parts = False

    def finish(self) -> None:
        """Return when what was handed over is on the disk, of all workers, and is the last checkpoint.

        Raises:
            DiskFullError: there was no room.
        """
        self.saver.wait()
        distributed.barrier()
        if self._pending is not None:
            self.commit()
            self.saver.wait()
            distributed.barrier()
        self.commit()
