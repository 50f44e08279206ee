"""Arms that a study's file names: curricula and densities that the user wants compared, beside or instead of a search.

An arm is values by their path in ``base``, or the path of a curriculum.json.  What says nothing of a curriculum has
none, whatever the curriculum of ``base`` is, so that a density of one's own is a constant density.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from curriculum_search.curriculum import CurriculumFile, EasyToHard, GivenOrder, GivenPartition, HardToEasy, Order
from curriculum_search.diffusion import Process
from curriculum_search.experiment import Experiment
from curriculum_search.loading import dotted
from curriculum_search.search.arms import Arm, BaselineName, of_curriculum
from curriculum_search.search.space import ORDER

#: What all arms of a study share, or else they could not be compared.
_SHARED = ("data", "evaluation", "resources", "cadence", "seed", "plugins")
_SHARED_FIELDS = ("training.total_images", "training.num_evaluations")
_MOST_CHARACTERS = 40
_SAME_LOG_SNR = 1e-9


def check_arm(name: str, given: Any) -> None:
    """Whether a study can have an arm of this name, written like this.

    Raises:
        ValueError: it cannot, and what would do.
    """
    if name in get_args(BaselineName):
        raise ValueError(f"arms: {name} is the name of a baseline; give the arm another")
    if not re.fullmatch(r"[\w+=-]+", name) or len(name) > _MOST_CHARACTERS:
        raise ValueError(
            f"arms: an arm's name must be 1 to {_MOST_CHARACTERS} letters, digits and any of _ + = -, not {name!r}"
        )
    if not isinstance(given, str | Mapping):
        raise ValueError(
            f"arms.{name}: must be values by their path in base, as in {{curriculum.num_clusters: 10}}, or the path of "
            f"a curriculum.json as text, not {given!r}"
        )


def named_arm(name: str, given: str | Mapping[str, Any], base: Experiment) -> Arm:
    """The arm that a study's file names.

    Args:
        name: of the arm.
        given: values by dotted path or in nested sections, or the path of a curriculum.json.
        base: what the values are set over.

    Raises:
        ValueError: it sets what all arms share, or the file cannot be read or is over the levels of another process.
    """
    values = _values_of_file(given, base) if isinstance(given, str) else dotted(given)
    for path in values:
        if path.split(".")[0] in _SHARED or path in _SHARED_FIELDS:
            raise ValueError(f"{path}: all arms of a study share it; set it in base")
    if not any(map(of_curriculum, values)):
        values |= {ORDER: "none"}
    return Arm(name=name, role="named", values=values)


def levels_of(experiment: Experiment) -> str:
    """Which noise levels an experiment trains, when and with which weight: text, equal for equal ones however they are
    written, the last digits aside."""
    training = experiment.training
    curriculum = experiment.curriculum.resolve(
        experiment.process, experiment.density, training.total_images, training.batch_size
    )
    fields = curriculum.to_dict() | {"weighting": experiment.weighting.to_dict()}
    del fields["process"], fields["total_images"], fields["batch_size"], fields["encoder"]
    return json.dumps(json.loads(json.dumps(fields), parse_float=lambda text: round(float(text), 12)), sort_keys=True)


def settings_of(experiment: Experiment) -> str:
    """The rest of what an experiment trains, in the same way."""
    fields = experiment.to_dict()
    for part in ("curriculum", "density", "weighting", "resources", "cadence", "plugins"):
        del fields[part]
    return json.dumps(fields, sort_keys=True)


def _values_of_file(path: str, base: Experiment) -> dict[str, Any]:
    """A curriculum.json as values over the base: its clusters, their order, its density and what it has of a weighting
    as they are."""
    file = CurriculumFile.load(path)
    if not _same_levels(file.process, base.process):
        raise ValueError(
            f"{path} is a curriculum over the levels of another process, {json.dumps(file.process.to_dict())}, and "
            f"base.process is {json.dumps(base.process.to_dict())}"
        )
    density = {} if _same_density(file, base) else {"density": file.density.to_dict()}
    learned = {} if file.weighting in (None, base.weighting) else {"weighting": file.weighting.to_dict()}
    return (
        {
            "curriculum.num_clusters": len(file.permutation),
            "curriculum.partition": GivenPartition(all_edges=file.edges).to_dict(),
            **dotted(_order(file.permutation).to_dict(), "curriculum.order."),
            "curriculum.accumulation": file.accumulation.to_dict(),
            "curriculum.union_density": file.union_density,
            "curriculum.pacing": file.pacing.to_dict(),
            "curriculum.reset_ema": file.reset_ema,
        }
        | density
        | learned
    )


def _order(permutation: tuple[int, ...]) -> Order:
    rising = tuple(range(len(permutation)))
    named: dict[tuple[int, ...], Order] = {rising[::-1]: EasyToHard(), rising: HardToEasy()}
    return named.get(permutation, GivenOrder(first_to_last=permutation))


def _same_levels(a: Process, b: Process) -> bool:
    """Whether a noise quantile means the same level to both."""
    if (a.num_levels, a.to_dict()["kind"]) != (b.num_levels, b.to_dict()["kind"]):
        return False
    count = a.num_levels or 100
    q = (np.arange(count) + 0.5) / count
    return bool(np.allclose(a.log_snr(q), b.log_snr(q), rtol=_SAME_LOG_SNR, atol=_SAME_LOG_SNR))


def _same_density(file: CurriculumFile, base: Experiment) -> bool:
    return file.density == base.density.canonical().resolved(base.process)
