"""A study in MLflow as its page shows it: the arms, each with its seeds together, not a line for every run."""

import statistics
from collections.abc import Sequence

from curriculum_search.runs.job import Status
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.tracked import tracked_params
from curriculum_search.search.arms import ordinary_with_settings_of, title
from curriculum_search.search.phases.confirmation import ConfirmationPhase
from curriculum_search.search.results.exports import first_finished
from curriculum_search.search.statistics.comparison import Contrast, compare
from curriculum_search.search.statistics.verdict import Verdict
from curriculum_search.search.study import StudyFile


def show_study(file: StudyFile, store: RunStore, *, phase: str = "", arms: Sequence[str] = ()) -> None:
    """Have the study's page group its runs by arm.

    Args:
        file: the study file.
        store: the study's runs.
        phase: whose runs are shown; empty: all.
        arms: those that are folded up.
    """
    store.tracker.show_arms(
        {
            "metric": file.study.objective,
            "others": list(file.second_opinions()),
            "ascending": file.direction.sign < 0,
            "phase": phase,
            "arms": list(arms),
        }
    )


def track_arms(file: StudyFile, store: RunStore, confirmation: ConfirmationPhase, verdict: Verdict | None) -> None:
    """Make a model of each confirmed arm, with the mean and the standard deviation over its seeds and its difference
    from ordinary training, and have the page show the confirmed arms."""
    if verdict is None:
        show_study(file, store)
        return
    settings = [ordinary_with_settings_of(leader.arm).name for leader in confirmation.leaders]
    show_study(file, store, phase=confirmation.name, arms=[*confirmation.arms, *settings])
    comparisons = compare(verdict.plan, confirmation.values(file.study.objective))
    for name, arm in confirmation.arms.items():
        standing = first_finished(confirmation, name)
        if standing is None:
            continue
        run, _ = standing
        values: dict[str, float] = {}
        for metric in (file.study.objective, *file.second_opinions()):
            ends = [
                result.metrics[metric]
                for result in confirmation.results(name).values()
                if result.status is Status.FINISHED and metric in result.metrics
            ]
            if ends:
                values |= {f"mean_{metric}": statistics.fmean(ends), "seeds": float(len(ends))}
            if len(ends) > 1:
                values[f"sd_{metric}"] = statistics.stdev(ends)
        comparison = comparisons.get(Contrast(arm=name, against=verdict.plan.reference))
        if comparison is not None:
            values |= {"difference": comparison.difference, "low": comparison.low, "high": comparison.high}
        dataset = store.dataset(run.experiment)
        store.tracker.log_dataset(run.key, **dataset)  # of a run that an older version has tracked
        store.tracker.log_model(
            run.key,
            arm=name,
            name=title(arm, run.experiment),
            params={key: value for key, value in tracked_params(run.experiment).items() if key != "seed"},
            values=values,
            dataset=(dataset["name"], dataset["digest"]),
        )
