"""Arms: what a study compares.  An arm is a set of values over the base experiment; a run is an arm with a seed.

The baseline arms are trained in every study, beside whatever the search tries (Wu, Dyer & Neyshabur 2021: with equal
tries no order beat ordinary training, so the comparison has to be made each time).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from curriculum_search.curriculum import ORDINARY
from curriculum_search.diffusion import Density
from curriculum_search.experiment import Experiment

BaselineName = Literal[
    "no_curriculum",
    "published",
    "reversed",
    "random_order",
    "published_stretched",
    "reversed_stretched",
    "random_order_stretched",
]
NO_CURRICULUM: BaselineName = "no_curriculum"

#: Number of clusters, iterations without improvement before the next one, and iterations of the whole run (Kim et al.,
#: re-implemented settings).
PUBLISHED_CLUSTERS = 20
PUBLISHED_PATIENCE_STEPS = 200
PUBLISHED_STEPS = 400_000

#: What else than a curriculum says how often, and with which weight, noise levels are trained.
OF_LEVELS = ("density", "weighting")

#: A plateau gate on a raw loss without a trend fires after about this many times its patience.
_MEDIAN_WAIT = 1.7
#: A stage of the published setting lasts at most this many times its patience.
_LONGEST_WAIT = 2
#: The share of the run that the stretched baselines last.
_STRETCHED_SHARE = 0.5
_ORDERS = {"published": "easy_to_hard", "reversed": "hard_to_easy", "random_order": "random"}
#: Of each of these baselines, the one that is the same over half of the run.
STRETCHED: Mapping[BaselineName, BaselineName] = {
    "published": "published_stretched",
    "reversed": "reversed_stretched",
    "random_order": "random_order_stretched",
}


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Values by dotted path over the base experiment, under a name.

    Attributes:
        name: unique in the study, for tables and figures.
        role: "baseline", "named" (by the study's file), "searched", "control" (a constant density with the exposure of
            another arm) or "ablation" (a step on the way from ordinary training to the winner).
        values: dotted path of the experiment to value.
        control_of: the name of the arm whose exposure a control has; empty for any other arm.
    """

    name: str
    role: Literal["baseline", "named", "searched", "control", "ablation"]
    values: Mapping[str, Any]
    control_of: str = ""

    @cached_property
    def text(self) -> str:
        """The values as text, equal for equal values."""
        return json.dumps(dict(self.values), sort_keys=True)


@dataclass(frozen=True, kw_only=True)
class Run:
    """An arm with a seed: one training run of a study.

    Attributes:
        arm: what is compared.
        experiment: what is trained, its seed included.
        key: the experiment's identity.
        trial: the searcher's number of a searched configuration; None for any other arm.
    """

    arm: Arm
    experiment: Experiment
    key: str
    trial: int | None = None


def baseline(name: BaselineName, base: Experiment) -> Arm:
    """One of the baseline arms, with the training settings of `base`.

    - ``no_curriculum``: ordinary training on the base density.
    - ``published``: 20 log-SNR clusters from easy to hard, cumulative, the next one when the raw loss has not
      improved for 200 steps (Kim et al. 2025).  As in a run of the paper's length, 400,000 steps, that patience is a
      2,000th of the run.  A stage ends after twice the patience at the latest, and so the curriculum after 2 % of the
      run.
    - ``reversed``: the same from hard to easy (anti-curriculum).
    - ``random_order``: the same in a random order.
    - ``published_stretched``, ``reversed_stretched``, ``random_order_stretched``: the same three over half of the run,
      which is not what was published: a patience of 200 steps or, where 20 such stages would not fit in that half, the
      one that makes them fit.
    """
    if name == NO_CURRICULUM:
        return Arm(name=name, role="baseline", values={"curriculum.order.kind": "none"})
    is_stretched = name not in STRETCHED
    return Arm(
        name=name,
        role="baseline",
        values={
            "curriculum.num_clusters": PUBLISHED_CLUSTERS,
            "curriculum.partition.kind": "log_snr",
            "curriculum.order.kind": _ORDERS[name.removesuffix("_stretched")],
            "curriculum.accumulation.kind": "cumulative",
            "curriculum.union_density": "base",
            "curriculum.pacing.kind": "plateau",
            "curriculum.pacing.gate": "raw",
            **(_stretched_pacing(base) if is_stretched else _published_pacing()),
        },
    )


def _published_pacing() -> dict[str, float]:
    """How long the published curriculum lasts in a run of the paper's length, in shares of the run."""
    patience_share = PUBLISHED_PATIENCE_STEPS / PUBLISHED_STEPS
    longest_stage = _LONGEST_WAIT * patience_share
    return {
        "curriculum.pacing.patience_share": patience_share,
        "curriculum.pacing.max_stage_share": longest_stage,
        "curriculum.pacing.end_share": PUBLISHED_CLUSTERS * longest_stage,
    }


def _stretched_pacing(base: Experiment) -> dict[str, float]:
    """The same over half of a run of whatever length."""
    fitting = _STRETCHED_SHARE / (PUBLISHED_CLUSTERS * _MEDIAN_WAIT)
    return {
        "curriculum.pacing.patience_share": min(PUBLISHED_PATIENCE_STEPS / base.training.num_steps, fitting),
        "curriculum.pacing.end_share": _STRETCHED_SHARE,
    }


def of_curriculum(path: str) -> bool:
    """Whether a dotted path of an experiment leads into its curriculum."""
    return path.split(".")[0] == "curriculum"


def control_name(arm: Arm) -> str:
    """The name of an arm's exposure-matched control."""
    return f"{arm.name} / exposure"


def exposure_control(arm: Arm, exposure: Mapping[str, list[float]]) -> Arm:
    """The arm that trains as often on each noise level as `arm` did, in no order: a constant density.

    What remains between the two is the effect of the order.

    Args:
        arm: a curriculum.
        exposure: the time-average of its draws over q, ``{"edges": [K + 1], "mass": [K]}``.
    """
    return Arm(
        name=control_name(arm),
        role="control",
        control_of=arm.name,
        values=_without(arm, "curriculum", "density")
        | {
            "curriculum.order.kind": "none",
            "density.kind": "histogram",
            "density.edges": list(exposure["edges"]),
            "density.mass": list(exposure["mass"]),
        },
    )


def ordinary_with_settings_of(arm: Arm) -> Arm:
    """Ordinary training with all of an arm's settings that are not of its curriculum.

    A density that moves is a curriculum.  Of an arm that the user names, any density and weighting are what is
    compared, too; a search that has them in its space gives them to ordinary training as well.
    """
    if arm.role == "named":
        own: tuple[str, ...] = ("curriculum", *OF_LEVELS)
    else:
        own = ("curriculum", "density") if _moves(arm) else ("curriculum",)
    return Arm(
        name=f"{NO_CURRICULUM}, settings of {arm.name}",
        role="baseline",
        values=_without(arm, *own) | {"curriculum.order.kind": "none"},
    )


def _moves(arm: Arm) -> bool:
    """Whether an arm's values have a density that moves."""
    kind = arm.values.get("density.kind", dict(arm.values.get("density", {})).get("kind", ""))
    return kind in Density.kinds() and Density.kinds()[kind].moves


def _without(arm: Arm, *parts: str) -> dict[str, Any]:
    return {path: value for path, value in arm.values.items() if path.split(".")[0] not in parts}


def is_ordinary(experiment: Experiment) -> bool:
    """Whether it trains without a curriculum, an order or a density that moves, however its config was written."""
    return experiment.curriculum.canonical().order.all_at_once and not experiment.density.canonical().moves


def title(arm: Arm, experiment: Experiment) -> str:
    """An arm as tables, figures and MLflow show it, as in "trial 3: hard to easy, 5 clusters, root"; the baselines with
    how long they last, as in "published (2 % of the run): easy to hard, 20 clusters, plateau"."""
    if arm.name == NO_CURRICULUM:
        return ORDINARY
    if arm.role == "control":
        return f"{arm.control_of}, exposure only"
    if arm.role == "named":
        words = [] if is_ordinary(experiment) else [experiment.describe()]
        set_here = {path.split(".")[0] for path in arm.values}
        words += [f"{part} {getattr(experiment, part).to_dict()['kind']}" for part in OF_LEVELS if part in set_here]
        return f"{arm.name}: {', '.join(words) or 'no curriculum'}"
    name = arm.name.replace("_", " ")
    end_share = arm.values.get("curriculum.pacing.end_share") if arm.role == "baseline" else None
    length = "" if end_share is None else f" ({100 * end_share:.3g} % of the run)"
    return f"{name}{length}: {experiment.describe()}"
