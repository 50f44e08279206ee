"""An evaluation that is interrupted goes on where it was: each worker keeps what it has collected in the run's folder.

It is kept on the clock of the checkpoints, behind a checkpoint of the very state that is evaluated, and is gone on with
only where the averaged weights are the same to the bit.
"""

import hashlib
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import torch
from torch import nn

from curriculum_search import distributed
from curriculum_search.evaluation.unfinished import State
from curriculum_search.experiment import Cadence
from curriculum_search.training import checkpoint
from curriculum_search.training.saver import Saver
from curriculum_search.training.session import Interrupted, Session
from curriculum_search.training.writer import CheckpointWriter

_NONE = -1  # blocks of a file that is not there, or not of this evaluation


@dataclass(kw_only=True)
class UnfinishedEvaluation:
    """Keeps what this worker collects in an evaluation of a run; see `evaluation.unfinished.Keeper`.

    Attributes:
        path: of this worker's file.
        identity: of the run.
        images: that it has seen.
        network: is evaluated.
        session: the home of this process.
        saver: writes.
        cadence: when.
        saved_at: when something was last saved, by `time.monotonic`.
        writer: of the run's checkpoints, of which there has to be one before anything is kept; None: there is no run.
    """

    path: Path
    identity: str
    images: int
    network: nn.Module
    session: Session
    saver: Saver
    cadence: Cadence
    saved_at: float
    writer: CheckpointWriter | None = None
    _has_kept: bool = field(default=False, init=False)

    @classmethod
    def of_run(
        cls, writer: CheckpointWriter, network: nn.Module, *, session: Session, cadence: Cadence, saved_at: float
    ) -> Self:
        """That of a run which is being trained: a checkpoint of its state, as gathered, comes first."""
        return cls(
            path=session.run_dir / f"evaluation-{distributed.rank()}.pt",
            identity=writer.state.identity,
            images=writer.state.images_seen,
            network=network,
            session=session,
            saver=writer.saver,
            cadence=cadence,
            saved_at=saved_at,
            writer=writer,
        )

    def find(self, what: str) -> State | None:
        kept: dict[int, dict[str, Any]] = {}
        for path in (self.path, checkpoint.before(self.path)):
            if path.exists():
                try:
                    found = checkpoint.load(path)
                except ValueError:  # It is begun again, and says the same in the end.
                    continue
                if found["what"] == self._identity(what):
                    kept[found["blocks"]] = found
        own = [*kept, _NONE, _NONE][:2]
        all_kept = distributed.all_gather_cat(torch.tensor([own], device=self.session.device)).tolist()
        common = set(own).intersection(*map(set, all_kept)) - {_NONE}
        return kept[max(common)] if common else None

    def after_block(self, what: str, collected: Callable[[], State], *, together: bool) -> None:
        self.session.goes_on()
        if not together:
            return
        late = self.cadence.overdue(time.monotonic() - self.saved_at)
        own = torch.tensor([[self.session.should_stop, late, not self.saver.done]], device=self.session.device)
        stop, late, writes = distributed.all_gather_cat(own.double()).any(0).tolist()
        if self.writer is not None and not writes:
            self.writer.commit()
        if not (stop or late):
            return
        first = self.writer.states() if self.writer is not None and not self._has_kept else {}
        self.saver.save({**first, self.path: {"what": self._identity(what), **collected()}})
        self.saved_at, self._has_kept = time.monotonic(), True
        if stop:
            if self.writer is not None:
                self.writer.finish()
            else:
                self.saver.wait()
            raise Interrupted(self.images)

    def clear(self) -> None:
        """Remove what all workers kept: the evaluation has ended, and has been saved.  The first worker's business."""
        for path in self.path.parent.glob("evaluation-*.pt"):
            path.unlink(missing_ok=True)

    def _identity(self, what: str) -> str:
        """Tells this evaluation of these weights from others."""
        words = f"{self.identity} at {self.images} images, weights {self._weights:08x}: {what}"
        return hashlib.sha256(words.encode()).hexdigest()

    @cached_property
    def _weights(self) -> int:
        crc = 0
        for value in self.network.state_dict().values():
            crc = zlib.crc32(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy(), crc)
        return crc
