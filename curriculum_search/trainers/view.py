"""What the handle knows of a run at a moment, and the report that it makes with the metrics of that moment."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from curriculum_search.training import Report


@dataclass(frozen=True, kw_only=True)
class View:
    """A run as its sampler and its clock have it after a step.

    Attributes:
        images: images that noise levels have been drawn for, over all workers.
        step_images: those of the last draw.
        seconds: spent in training, the code's evaluations left out as far as they are known.
        train_loss: mean of the losses that the sampler was told since the last report; None: of none.
        stage: of the curriculum, from 1.
        unlocked_share: the share of the clusters that is unlocked.
        switches: the beginning of every stage so far.
        exposure: how often each noise level has been trained.
    """

    images: int
    step_images: int
    seconds: float
    train_loss: float | None
    stage: int
    unlocked_share: float
    switches: tuple[Mapping[str, Any], ...]
    exposure: Mapping[str, list[float]]

    def to_json(self) -> str:
        """As text that crosses borders between processes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """What `to_json` was given."""
        fields = json.loads(text)
        return cls(**{**fields, "switches": tuple(fields["switches"])})

    def report(self, metrics: Mapping[str, float], *, images: int, final: bool, earlier: Sequence[Report]) -> Report:
        """The report of an evaluation.

        Args:
            metrics: what it yielded.
            images: images seen.
            final: whether it is the last.
            earlier: the reports before it.
        """
        reported = sum(len(report.switches) for report in earlier)
        before = (earlier[-1].images, earlier[-1].metrics["train_seconds"]) if earlier else (0, 0.0)
        loss = {} if self.train_loss is None else {"train_loss": self.train_loss}
        return Report(
            images=images,
            metrics={**metrics}
            | loss
            | {
                "images_per_second": (images - before[0]) / max(self.seconds - before[1], 1e-9),
                "train_seconds": self.seconds,
                "stage": float(self.stage),
                "unlocked_share": self.unlocked_share,
            },
            switches=self.switches[reported:],
            final=final,
            exposure=self.exposure if final else {},
        )
