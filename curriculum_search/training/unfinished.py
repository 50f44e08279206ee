"""An evaluation that is interrupted goes on where it was: each worker keeps what it has collected in the run's folder.

It is kept on the clock of the checkpoints, behind a checkpoint of the very state that is evaluated, and is gone on with
only where the averaged weights are the same to the bit.
"""

import hashlib
import time
import zlib
from collections.abc import Callable
from typing import Any

import torch

from curriculum_search import distributed
from curriculum_search.evaluation.unfinished import State
from curriculum_search.experiment import Cadence
from curriculum_search.training import checkpoint
from curriculum_search.training.saver import Saver
from curriculum_search.training.session import Interrupted, Session
from curriculum_search.training.state import TrainingState

_NONE = -1  # blocks of a file that is not there, or not of this evaluation


class UnfinishedEvaluation:
    """Keeps what is collected in an evaluation of a run; see `evaluation.unfinished.Keeper`.

    Args:
        state: what is evaluated, as gathered.
        session: the home of this process.
        saver: writes.
        cadence: when.
        saved_at: when the run was last saved, by `time.monotonic`.
    """

    def __init__(
        self, state: TrainingState, *, session: Session, saver: Saver, cadence: Cadence, saved_at: float
    ) -> None:
        self._state = state
        self._session = session
        self._saver = saver
        self._cadence = cadence
        self._saved_at = saved_at
        self._is_saved = False  # the state that is evaluated
        self._digest = ""
        self._path = session.run_dir / f"evaluation-{distributed.rank()}.pt"

    def find(self, what: str) -> State | None:
        kept: dict[int, dict[str, Any]] = {}
        for path in (self._path, checkpoint.before(self._path)):
            if path.exists():
                try:
                    found = checkpoint.load(path)
                except ValueError:  # It is begun again, and says the same in the end.
                    continue
                if found["what"] == self._identity(what):
                    kept[found["blocks"]] = found
        own = [*kept, _NONE, _NONE][:2]
        all_kept = distributed.all_gather_cat(torch.tensor([own], device=self._state.device)).tolist()
        common = set(own).intersection(*map(set, all_kept)) - {_NONE}
        return kept[max(common)] if common else None

    def after_block(self, what: str, collected: Callable[[], State], *, together: bool) -> None:
        if not together:
            return
        late = self._cadence.overdue(time.monotonic() - self._saved_at)
        wishes = torch.tensor([[self._session.should_stop, late]], dtype=torch.float64, device=self._state.device)
        stop, late = distributed.all_gather_cat(wishes).any(0).tolist()
        if not (stop or late):
            return
        states = {self._path: {"what": self._identity(what), **collected()}}
        if distributed.rank() == 0 and not self._is_saved:
            states = {self._session.run_dir / checkpoint.CHECKPOINT: self._state.state_dict()} | states
        self._saver.save(states)
        self._saved_at, self._is_saved = time.monotonic(), True
        if stop:
            self._saver.wait()
            distributed.barrier()
            raise Interrupted(self._state.images_seen)

    def clear(self) -> None:
        """Remove what was kept: the evaluation has ended, and has been saved.  The first worker's business."""
        for path in self._session.run_dir.glob("evaluation-*.pt"):
            path.unlink(missing_ok=True)

    def _identity(self, what: str) -> str:
        """Tells this evaluation of these weights from others."""
        if not self._digest:
            crc = 0
            for value in self._state.ema.network.state_dict().values():
                crc = zlib.crc32(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy(), crc)
            self._digest = f"{self._state.identity} at {self._state.images_seen} images, weights {crc:08x}"
        return hashlib.sha256(f"{self._digest}: {what}".encode()).hexdigest()
