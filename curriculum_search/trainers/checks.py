"""Whether what training code reports is what a study can compare: one rule for a function's and a program's reports."""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from curriculum_search.evaluation import Diverged
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.training import Report


class TrainerError(ValueError):
    """The code does not do what a study needs of it.  The message names its file and says what to change."""

    def __init__(self, title: str, problem: str) -> None:
        super().__init__(f"{title}: {problem}")


def one_line(error: BaseException) -> str:
    """An error's type and the first line of its message."""
    lines = str(error).strip().splitlines()
    return ": ".join(filter(None, [type(error).__name__, lines[0] if lines else ""]))


def checked_images(
    assignment: Assignment, images: Any, *, drawn: int, step_images: int, reports: Sequence[Report]
) -> int:
    """The images that a report says have been seen.

    Args:
        assignment: what is trained.
        images: as reported.
        drawn: images that noise levels have been drawn for.
        step_images: those of the last draw.
        reports: the reports before.

    Raises:
        TrainerError: the number cannot be right.
    """

    def error(problem: str) -> TrainerError:
        return TrainerError(assignment.title, problem)

    try:
        images = operator.index(images)
    except TypeError:
        raise error(f"reports images={images!r}: it must be a whole number, the images seen so far") from None
    if not drawn:
        raise error(
            f"reports {images:,} images and has drawn no noise levels: draw them from the sampler that it takes from "
            "the run (run.schedule_sampler, run.edm_sigmas, run.quantiles, ...), in place of its own"
        )
    if reports and images < reports[-1].images:
        raise error(
            f"reports {images:,} images after {reports[-1].images:,}: the number must not go backwards; it is that of "
            "all images seen so far"
        )
    if images > assignment.total_images + step_images:
        raise error(
            f"reports {images:,} images, beyond its budget of {assignment.total_images:,}: end the loop when "
            "run.should_stop, or after run.total_images"
        )
    if abs(images - drawn) > max(step_images, drawn // 100):
        raise error(
            f"reports {images:,} images and has drawn noise levels for {drawn:,}: images are counted over all "
            "workers, and are not steps; each is drawn for once, and draws that train nothing belong into "
            "`with sampler.validation():`"
        )
    return int(images)


def checked_metrics(
    assignment: Assignment, metrics: Mapping[str, Any], *, images: int, reports: Sequence[Report]
) -> dict[str, float]:
    """The values of an evaluation as numbers.

    Raises:
        TrainerError: one is missing or no number, or an evaluation before this one is missing.
        Diverged: a value is not finite.
    """
    due = [point for point in assignment.points[len(reports) :] if point <= images]
    if len(due) > 1:
        raise TrainerError(
            assignment.title,
            f"reports at {images:,} images and has not reported at {due[0]:,}: ask run.report_is_due after each step, "
            "and report whenever it is",
        )
    if missing := [name for name in assignment.metrics if name not in metrics]:
        raise TrainerError(
            assignment.title,
            f"reports {', '.join(metrics) or 'nothing'}, and not {', '.join(missing)}, which trainer.metrics promises",
        )
    values = {}
    for name, value in metrics.items():
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            raise TrainerError(assignment.title, f"reports {name} = {value!r}, which is no number") from None
    if bad := [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]:
        raise Diverged(f"{'; '.join(bad)} at {images} images")
    return values


def check_end(assignment: Assignment, *, drawn: int, reports: Sequence[Report], ended: str) -> None:
    """Whether a run that has come to its end by itself has seen and reported what it should.

    Args:
        assignment: what was trained.
        drawn: images that noise levels have been drawn for.
        reports: all of them.
        ended: how it ended, in words that follow its name.

    Raises:
        TrainerError: it has not.
    """
    if len(reports) == len(assignment.points):
        return
    total, problem = assignment.total_images, ""
    if not drawn:
        problem = (
            f"{ended} and has drawn no noise levels: draw them from the sampler that it takes from the run "
            "(run.schedule_sampler, run.edm_sigmas, run.quantiles, ...), in place of its own"
        )
    elif drawn < total:
        problem = f"{ended} after {drawn:,} of {total:,} images: train until run.should_stop"
    elif not reports:
        problem = f"{ended} and has reported nothing: call run.report(images=..., metrics=...) when run.report_is_due"
    else:
        problem = (
            f"{ended} and has reported at {len(reports)} of {len(assignment.points)} evaluations: ask "
            "run.report_is_due after each step, the last one included, and report whenever it is"
        )
    raise TrainerError(assignment.title, problem)
