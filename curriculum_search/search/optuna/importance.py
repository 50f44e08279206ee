"""How much each searched parameter mattered to how the trials of a search came out.

By functional analysis of variance (Hutter, Hoos & Leyton-Brown 2014, "An Efficient Approach for Assessing
Hyperparameter Importance"): a random forest learns the trials' values from their parameters, and a parameter's
importance is the share of what the forest explains that changes with this parameter alone, averaged over all values of
the others.  Of Optuna's evaluators it was measured to name the right parameter most often with few, noisy trials.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from curriculum_search.search.space import ORDER, Space

#: With fewer trials the most important parameter is not reliably ranked first (simulated with noise as in real
#: searches: 16 trials for two parameters and 30 for five rank it first in about nine searches of ten).
MIN_TRIALS = 16
MIN_TRIALS_PER_PARAMETER = 6

#: What the numbers mean, for the reader of a report.
IMPORTANCE_MEANING = (
    "The share of the differences between trials that a parameter accounts for by itself, of what all of them account "
    "for alone (functional ANOVA over a random forest). It says how much the choice matters, not which value is good. "
    "Trials are few and their values noisy: take it for a hint, and small shares for nothing."
)


@dataclass(frozen=True, kw_only=True)
class Importances:
    """The importances over one set of trials.

    Attributes:
        trials: which, in words.
        num_trials: how many are complete.
        shares: objective to parameter to its importance, which sum to 1, the most important parameter first; empty
            where nothing can be said.
        left_out: parameters that exist only in some of these trials, and so cannot be weighed against the others.
        reason: why `shares` is empty.
    """

    trials: str
    num_trials: int
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    reason: str = ""

    @property
    def sentence(self) -> str:
        """What there is to say beside the numbers."""
        if self.reason:
            return f"{self.reason}."
        rest = f"; not weighed, as only some of them have it: {', '.join(self.left_out)}" if self.left_out else ""
        return f"{self.num_trials} complete trials{rest}."


def importances(study: optuna.Study, space: Space, objectives: Sequence[str]) -> list[Importances]:
    """The importances over all complete trials and, for the parameters of the curriculum, over those that have one.

    A parameter can only be weighed in trials that all have it, and most parameters of a curriculum do not exist without
    one.  Trials that were stopped early have no final value, and do not count.

    Args:
        study: as Optuna has it.
        space: what was searched.
        objectives: the names of its values, in their order.
    """
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not space.parameters or not complete:
        return []
    with_order = [trial for trial in complete if trial.params.get(ORDER) not in (None, "none")]
    sets = {"all trials": complete}
    if 0 < len(with_order) < len(complete):
        sets["trials with a curriculum"] = with_order
    return [_over(name, trials, space, objectives) for name, trials in sets.items()]


def _over(name: str, trials: list[FrozenTrial], space: Space, objectives: Sequence[str]) -> Importances:
    present = [path for path in space.order if any(path in trial.params for trial in trials)]
    shared = [path for path in present if all(path in trial.params for trial in trials)]
    varied = [path for path in shared if len({trial.params[path] for trial in trials}) > 1]
    left_out = tuple(path for path in present if path not in shared)
    needed = max(MIN_TRIALS, MIN_TRIALS_PER_PARAMETER * len(varied))
    reason = ""
    if len(trials) < needed:
        reason = (
            f"too few complete trials ({len(trials)}, stopped ones not counted) to tell; {needed} would do "
            f"({MIN_TRIALS_PER_PARAMETER} for each parameter that varies, and {MIN_TRIALS} at least)"
        )
    elif len(varied) < 2:
        reason = "fewer than two parameters that all of them have differ between them, so there is nothing to weigh"
    if reason:
        return Importances(trials=name, num_trials=len(trials), left_out=left_out, reason=reason)
    shares = {}
    for i, objective in enumerate(objectives):
        values = [trial.values[i] for trial in trials]
        shares[objective] = _fanova(trials, varied, values) if len(set(values)) > 1 else dict.fromkeys(varied, 0.0)
    return Importances(trials=name, num_trials=len(trials), shares=shares, left_out=left_out)


def _fanova(trials: list[FrozenTrial], paths: list[str], values: list[float]) -> dict[str, float]:
    plain = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for trial, value in zip(trials, values, strict=True):
        scaled = {path: _scaled(trial.distributions[path], trial.params[path]) for path in paths}
        plain.add_trial(
            optuna.trial.create_trial(
                value=value,
                params={path: number for path, (_, number) in scaled.items()},
                distributions={path: distribution for path, (distribution, _) in scaled.items()},
            )
        )
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances  # imports scikit-learn: a second

    shares = get_param_importances(plain, evaluator=FanovaImportanceEvaluator(seed=0), params=paths)
    return {path: float(share) for path, share in shares.items()}


def _scaled(distribution: BaseDistribution, value: object) -> tuple[BaseDistribution, object]:
    """A parameter over the scale that it is searched on: averages over it are to weigh it as the search does."""
    if isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log:
        assert isinstance(value, int | float)
        return FloatDistribution(math.log(distribution.low), math.log(distribution.high)), math.log(value)
    return distribution, value
