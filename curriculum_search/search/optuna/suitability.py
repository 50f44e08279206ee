"""Whether a sampler suits a space, found out before anything is trained."""

import random
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import optuna

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.encoding import suggest, to_directions
from curriculum_search.search.optuna.samplers import TPE, AnyOptuna, GaussianProcess, SearchSampler
from curriculum_search.search.space import Space

#: Trials of a sampler that is tried out, random ones of its start first.  A Gaussian process takes seconds to propose
#: where there are several objectives, so only the last trial is its own.
_TRIED_RANDOM, _TRIED = 10, 11


def try_out(sampler: SearchSampler, space: Space, directions: Sequence[Direction]) -> None:
    """Have a sampler propose a few configurations, and tell it a random value for each, so that it also makes some of
    what it was told.

    Raises:
        Exception: what Optuna raises where the sampler cannot be made, or is not made for the space or for so many
            objectives.
    """
    rng = random.Random(0)
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            study = without_end(
                optuna.create_study(directions=to_directions(directions), sampler=_early(sampler).build(0))
            )
            for _ in range(_TRIED):
                trial = study.ask()
                space.define(partial(suggest, trial))
                study.tell(trial, [rng.random() for _ in directions])
    finally:
        optuna.logging.set_verbosity(verbosity)


def _early(sampler: SearchSampler) -> SearchSampler:
    """The sampler with as many random trials at its start as are tried out."""
    if isinstance(sampler, TPE | GaussianProcess):
        return replace(sampler, num_startup_trials=_TRIED_RANDOM)
    if isinstance(sampler, AnyOptuna) and isinstance(sampler.options.get("n_startup_trials"), int):
        return replace(sampler, options={**sampler.options, "n_startup_trials": _TRIED_RANDOM})
    return sampler


def without_end(study: optuna.Study) -> optuna.Study:
    """Samplers that know when a space is exhausted stop the study, which Optuna allows only in its own loop; `Searcher`
    finds out by itself."""
    study.stop = lambda: None  # type: ignore[method-assign]
    return study
