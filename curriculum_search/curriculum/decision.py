"""What a pacing is asked, and what it answers: it decides, and the sampler acts."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from curriculum_search.config import Kinded


class Reason(StrEnum):
    """Why a stage began."""

    START = "start"
    """Training began."""
    SCHEDULE = "schedule"
    """The pacing function called for it."""
    PLATEAU = "plateau"
    """The loss had not improved for longer than the patience."""
    STAGE_LIMIT = "stage_limit"
    """The stage before it had reached its longest duration."""
    END = "end"
    """The curriculum had reached its longest duration."""


@dataclass(frozen=True)
class Observation:
    """What a pacing may look at after a step.

    Attributes:
        images_seen: images trained on so far, over all workers.
        total_images: the training budget.
        num_clusters: N.
        num_stages: the number of the last stage, which is ordinary training: N where stage N is already that, else
            N + 1.
        stage: the present stage, from 1.
        stage_start_images: images seen when it began.
        losses: (images seen, mean loss over all workers) of the steps since the last look, oldest first; only where the
            pacing reads losses, and empty between two looks.
        bank_loss: evaluates the loss on a fixed bank of images and noise, averaged over the present draws; costly.
        memory: what the pacing's last decision asked to remember; empty at the start of a stage.
    """

    images_seen: int
    total_images: int
    num_clusters: int
    num_stages: int
    stage: int
    stage_start_images: int
    losses: tuple[tuple[int, float], ...] = ()
    bank_loss: Callable[[], float] | None = None
    memory: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What a pacing decides.

    Attributes:
        stage: the stage of the next draw.
        reason: why it is another one; None: the stage stays.
        memory: what to be shown at the next decision.  At a switch of stage it is dropped, whatever it is: the loss
            jumps when a harder cluster enters, so the best loss of the stage before says nothing.
    """

    stage: int
    reason: Reason | None = None
    memory: Mapping[str, float] = field(default_factory=dict)

    @property
    def advances(self) -> bool:
        """Whether another stage begins."""
        return self.reason is not None


class Pacing(Kinded):
    """A rule that decides when the next stage begins."""

    @property
    def loss_window_steps(self) -> int | None:
        """Every how many steps `Observation.losses` is wanted; None: never, and nobody needs to observe losses."""
        return None

    @property
    def reads_bank(self) -> bool:
        """Whether `Observation.bank_loss` is wanted."""
        return False

    @abstractmethod
    def decide(self, seen: Observation) -> Decision:
        """Stay, or begin another stage.  A pure function: equal observations lead to equal decisions on all workers."""
        raise NotImplementedError

    def canonical(self) -> "Pacing":
        """The same pacing written in one way, where several settings of its fields decide alike."""
        return self
