"""How the training loop speaks to whoever runs it, a command or a Ray worker: folder, device, reports, interruption."""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self

import torch


class Interrupted(Exception):  # noqa: N818  (what happened, as in KeyboardInterrupt)
    """The session said "stop now"; the run is saved as it was at `images` images seen, and goes on from there.

    Attributes:
        images: images seen.
    """

    def __init__(self, images: int) -> None:
        super().__init__(images)
        self.images = images

    def __str__(self) -> str:
        return f"stopped at {self.images} images, where it was saved"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run says at an evaluation.

    Attributes:
        images: images seen so far.
        metrics: name to value: the evaluators' values, the mean training loss, throughput, stage.
        switches: the curriculum's changes of stage since the last report, as plain mappings.
        final: whether this is the run's last report.
        exposure: of the last report: the share of the run's draws in each interval of the noise quantile q,
            ``{"edges": [K + 1], "mass": [K]}``.
    """

    images: int
    metrics: Mapping[str, float]
    switches: tuple[Mapping[str, Any], ...] = ()
    final: bool = False
    exposure: Mapping[str, list[float]] = field(default_factory=dict)

    def to_json(self) -> str:
        """As text that crosses borders between processes; floats are exact."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` was given."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A report from its fields as plain values, as a line of a run's log holds them; what else it holds is left
        out."""
        known = {f.name: plain[f.name] for f in fields(cls) if f.name in plain}
        return cls(**known | {"switches": tuple(known.get("switches", ()))})


@dataclass(frozen=True, kw_only=True)
class StatusReport:
    """How a run is doing between two evaluations.

    Attributes:
        images: images seen so far.
        train_loss: mean unweighted loss since the status before, over all workers; None: training code of the user's
            own has not told its losses.
        images_per_second: throughput since then, evaluations and checkpoints left out.
        stage: of the curriculum, from 1.
        unlocked_share: the share of the clusters that is unlocked.
    """

    images: int
    train_loss: float | None
    images_per_second: float
    stage: int
    unlocked_share: float

    def to_json(self) -> str:
        """As text that crosses borders between processes; floats are exact."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` was given."""
        return cls(**json.loads(text))


class Session(Protocol):
    """A plain process, a Ray Tune actor or a Ray Train worker."""

    run_dir: Path
    device: torch.device

    @property
    def should_stop(self) -> bool:
        """Whether the run is to be saved and left at once.

        A single worker asks after every step; several ask at the same steps, and stop if one of them is to.
        """

    def report(self, report: Report) -> None:
        """Take what the run says; called on every worker at the same points.  May not return if the run is to stop."""

    def status(self, status: StatusReport) -> None:
        """Take how the run is doing; called like `report`, more often."""

    def remark(self, words: str) -> None:
        """Take, in a line, what has befallen the run, as that a checkpoint was damaged; called on the first worker."""

    def goes_on(self) -> None:
        """Take that an evaluation goes on; called on every worker after each block of samples that it has made."""


@dataclass
class PlainSession:
    """A run in a process of its own that keeps what it says, and is left where `should_stop` is set."""

    run_dir: Path
    device: torch.device = field(default_factory=lambda: default_device())
    reports: list[Report] = field(default_factory=list)
    statuses: list[StatusReport] = field(default_factory=list)
    should_stop: bool = False

    def report(self, report: Report) -> None:
        """Keep the report."""
        self.reports.append(report)

    def status(self, status: StatusReport) -> None:
        """Keep the status."""
        self.statuses.append(status)

    def remark(self, words: str) -> None:
        """Warn of it."""
        warnings.warn(words, stacklevel=2)

    def goes_on(self) -> None:
        """Nothing: nobody takes it to hang."""


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
