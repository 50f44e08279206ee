"""What the training loop knows of the home that it runs in."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self

import torch


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
        """The report as text, digit for digit, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The report that `to_json` wrote."""
        return cls.from_plain(json.loads(text))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """A report from its fields as plain values; others are left out."""
        known = {name: plain[name] for name in (f.name for f in fields(cls)) if name in plain}
        return cls(**known | {"switches": tuple(known.get("switches", ()))})


class Session(Protocol):
    """A plain process, a Ray Tune actor or a Ray Train worker."""

    run_dir: Path
    device: torch.device

    def report(self, report: Report) -> None:
        """Take what the run says; called on every worker at the same points.  May not return if the run is to stop."""


@dataclass
class PlainSession:
    """A run in a process of its own that keeps its reports."""

    run_dir: Path
    device: torch.device = field(default_factory=lambda: default_device())
    reports: list[Report] = field(default_factory=list)

    def report(self, report: Report) -> None:
        """Keep the report."""
        self.reports.append(report)


def default_device() -> torch.device:
    """The first GPU if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
