"""What MLflow is told of an experiment: the few settings that tell runs apart, and the images."""

import hashlib
from typing import Any, TypedDict

from curriculum_search.experiment import Experiment, OwnTrainer

_DIGEST = 16  # characters

#: Of the parameters of the user's own training code, how many are shown in a table, and so many characters of each.
_OWN_PARAMS, _OWN_CHARACTERS = 4, 36


class TrackedDataset(TypedDict):
    """What MLflow is told of the images that a run is trained on."""

    name: str
    digest: str
    source: dict[str, Any]
    summary: str


def tracked_dataset(experiment: Experiment) -> TrackedDataset:
    """The training images of an experiment, or the code of the user's own that has them."""
    if isinstance(experiment.trainer, OwnTrainer):
        trainer = experiment.trainer
        return TrackedDataset(
            name=trainer.title,
            digest=trainer.code()[:_DIGEST],
            source=trainer.to_dict(),
            summary=experiment.summary(),
        )
    images = experiment.data.load()
    return TrackedDataset(
        name=images.name,
        digest=hashlib.sha256(images.fingerprint.encode()).hexdigest()[:_DIGEST],
        source=experiment.data.to_dict(),
        summary=images.summary,
    )


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)[:_OWN_CHARACTERS]


def tracked_params(experiment: Experiment) -> dict[str, str]:
    """The few settings that tell runs apart in a table; the whole config is an artifact of the run."""
    plain = experiment.to_dict()
    curriculum = experiment.curriculum.canonical().to_dict()
    params = {
        "order": curriculum["order"]["kind"],
        "seed": str(experiment.seed),
        "learning_rate": f"{plain['training']['learning_rate']:.3g}",
        "process": plain["process"]["kind"],
        "density": plain["density"]["kind"],
        "weighting": plain["weighting"]["kind"],
    }
    if isinstance(experiment.trainer, OwnTrainer):
        del params["learning_rate"], params["weighting"]
        params = {name: _short(value) for name, value in list(experiment.trainer.params.items())[:_OWN_PARAMS]} | params
    if curriculum["order"]["kind"] != "none":
        params |= {
            "clusters": str(curriculum["num_clusters"]),
            "partition": curriculum["partition"]["kind"],
            "pacing": curriculum["pacing"]["kind"],
            "accumulation": curriculum["accumulation"]["kind"],
        }
        if (end_share := curriculum["pacing"].get("end_share")) is not None:
            params["end_share"] = f"{end_share:.3g}"
    return params
