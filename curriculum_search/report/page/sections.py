"""The sections of a page, each as HTML with places for its plots."""

import base64
import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from curriculum_search.curriculum import ORDINARY
from curriculum_search.duration import duration
from curriculum_search.report.page.bars import ablation, importance
from curriculum_search.report.page.curves import convergence, plotted_metrics
from curriculum_search.report.page.data import Cost, Samples, StudyData
from curriculum_search.report.page.forest import forest
from curriculum_search.report.page.plot import Look, Plot, looks, percent
from curriculum_search.report.page.schedules import Scale, scale, schedules
from curriculum_search.report.page.trials import over_time, parallel, pareto, stopped
from curriculum_search.report.table import columns_of

#: More rows than these are listed in report.md, not on the page.
_MOST_ROWS = 60


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the page.

    Attributes:
        name: of its anchor.
        heading: of the section and its line in the table of contents.
        body: HTML.
        plots: that have a place in the body.
    """

    name: str
    heading: str
    body: str
    plots: Sequence[Plot] = ()


def sections(data: StudyData) -> list[Section]:
    """All sections, in the order in which they are read; each says so where it has nothing to show."""
    arm_looks = looks([arm.title for arm in data.arms], ORDINARY)
    order_looks = looks(list(dict.fromkeys(trial.order for trial in data.trials)), ORDINARY)
    makers: list[Callable[[], Section]] = [
        lambda: _verdict(data),
        lambda: _effects(data, arm_looks),
        lambda: _convergence(data, arm_looks),
        lambda: _schedules(data, arm_looks),
        lambda: _samples(data),
        lambda: _search(data, order_looks),
        lambda: _ablation(data),
        lambda: _cost(data),
        lambda: _repeat(data),
    ]
    return [make() for make in makers]


def _verdict(data: StudyData) -> Section:
    layers = data.layers
    lines = "".join(
        f"<div><dt>{_e(label)}</dt><dd>{_e(words)}</dd></div>" for label, words in layers.lines.items() if words
    )
    body = f"<p class='headline'>{_e(layers.headline)}</p>"
    body += f"<dl class='layers'>{lines}</dl>" if lines else ""
    body += f"<p class='fine'>{_e(' '.join(layers.fine_print))}</p>" if layers.fine_print else ""
    body += f"<pre class='failures'>{_e(data.failures)}</pre>" if data.failures else ""
    return Section(name="verdict", heading="Verdict", body=body)


def _effects(data: StudyData, arm_looks: Mapping[str, Look]) -> Section:
    plots = []
    if data.arms and data.effects:
        plots.append(forest(data.arms, data.effects, arm_looks, direction=data.direction, confidence=data.confidence))
        body = _note(
            f"Each arm against {data.arms[0].title}, on seeds that the search never saw. Small dots are seeds; a "
            f"diamond is the difference of the means with its {percent(data.confidence)} interval over all arms, "
            f"filled where the difference is claimed, open where it is not separable.{_of_one_look(data)}"
        )
        body += _place(plots[0])
    else:
        body = _nothing("No effects yet: nothing has been confirmed on fresh seeds.")
    body += _arms_table(data)
    return Section(name="effects", heading="Effect of each arm", body=body, plots=plots)


def _of_one_look(data: StudyData) -> str:
    """Why the interval of what is not claimed leaves out 0, if one does."""
    effects = [effect for of_metric in data.effects.values() for effect in of_metric]
    if not any(
        e.low is not None and e.high is not None and not e.claimed and (e.low > 0 or e.high < 0) for e in effects
    ):
        return ""
    return (
        " An open diamond's interval can leave out 0: it is of one look at the data, and the study, which looks after "
        "each round of seeds and stops when it is sure, asks more of what it claims."
    )


def _arms_table(data: StudyData) -> str:
    rows = data.rows[:_MOST_ROWS]
    if not rows:
        return ""
    columns, best = columns_of(rows, data.objective, data.direction)
    table = _table(columns, words=("", "arm", "note"), bold=best)
    rest = (
        f"<p class='note'>{len(data.rows) - len(rows)} more rows are in report.md.</p>"
        if data.rows[_MOST_ROWS:]
        else ""
    )
    return f"<details><summary>The same in numbers</summary>{table}{rest}</details>"


def _convergence(data: StudyData, arm_looks: Mapping[str, Look]) -> Section:
    metrics = plotted_metrics(data.arms, [data.objective, *data.effects])
    if not metrics:
        words = "No curves yet: no run of the confirmation has been evaluated. Those of the search are below."
        return Section(name="convergence", heading="Convergence", body=_nothing(words))
    total = max(
        points[-1][0] for arm in data.arms for runs in arm.curves.values() for points in runs.values() if points
    )
    plot = convergence(data.arms, arm_looks, metrics, total_images=total)
    words = (
        f"The mean over seeds inside a band from the lowest seed to the highest ({data.direction.better} "
        f"{data.objective} is better). The dotted line is where {data.arms[0].title} ends: where an arm crosses it, it "
        "is as good already. A name in the legend hides its arm; a double click leaves it alone."
    )
    return Section(name="convergence", heading="Convergence", body=_note(words) + _place(plot), plots=[plot])


def _schedules(data: StudyData, arm_looks: Mapping[str, Look]) -> Section:
    found = schedules(data.arms, arm_looks)
    if not found:
        body = _nothing("No schedules yet: no run of the confirmation has reported.")
        return Section(name="schedules", heading="Noise schedules", body=body)
    body = _note(
        "Left: what each arm trained on, noise level over images, shaded by its density; blank where it did not train. "
        "Right: its exposure, how often that makes each level in all, where the dotted 1× is an even spread (each arm "
        "has a scale of its own). Two arms with the same exposure differ only in order."
    )
    body += _shades(scale(data.arms))
    cards = []
    for arm, plot in found:
        assert arm.schedule is not None
        schedule = arm.schedule
        words = "a density that moves" if len(schedule.starts) > 1 else "one density throughout"
        words = f"{schedule.stages} stages" if schedule.stages > 1 else words
        words += f"; {schedule.remark}" if schedule.remark else ""
        cards.append(
            f"<figure class='card'><figcaption><i style='background:var({_variable(arm_looks[arm.title])})'></i>"
            f"<b>{_e(arm.title)}</b> <span>{_e(words)}</span></figcaption>{_place(plot)}</figure>"
        )
    body += f"<div class='cards'>{''.join(cards)}</div>"
    return Section(name="schedules", heading="Noise schedules", body=body, plots=[plot for _, plot in found])


def _shades(shades: Scale) -> str:
    """What the shades of the schedules mean, once for all of them."""
    ticks = "".join(f"<span style='left:{100 * place:.1f}%'>{label}</span>" for place, label in shades.ticks)
    return f"<div class='shades'><b>Density, times an even spread</b><div><i></i>{ticks}</div></div>"


def _samples(data: StudyData) -> Section:
    if not data.samples:
        body = _nothing("No samples: no seed has images of both the baseline and another arm.")
        return Section(name="samples", heading="Samples", body=body)
    first, *others = data.samples
    names = " and ".join(first.grids)
    body = _note(
        f"Images of {names}{' as they learn' if first.earlier else ' at the end of training'}, from the same noise: an "
        f"image has the same place in both. Seed {first.seed}, the first of the confirmation, not the nicest."
    )
    body += _over_time(first) if first.earlier else _grids(first.grids)
    if others:
        rest = "".join(f"<h4>Seed {samples.seed}</h4>{_grids(samples.grids)}" for samples in others)
        body += f"<details><summary>{len(others)} more seed{'s' * (len(others) > 1)}</summary>{rest}</details>"
    return Section(name="samples", heading="Samples", body=body)


def _over_time(samples: Samples) -> str:
    """The grids of one evaluation at a time, those of the end first; a slider has the others."""
    steps = {**samples.earlier, samples.total_images: samples.grids}
    last = len(steps) - 1
    frames = "".join(
        f"<div data-words='after {images:,} of {samples.total_images:,} images'{'' if i == last else ' hidden'}>"
        f"{_grids(grids)}</div>"
        for i, (images, grids) in enumerate(steps.items())
    )
    control = (
        f"<label class='slider'>Samples <output>after {samples.total_images:,} of {samples.total_images:,} images"
        f"</output><input type='range' min='0' max='{last}' value='{last}'></label>"
    )
    return f"<div class='over-time'>{control}{frames}</div>"


def _grids(grids: Mapping[str, bytes]) -> str:
    figures = "".join(
        f"<figure><figcaption>{_e(title)}</figcaption>"
        f"<img alt='generated images: {_e(title)}' src='{_embedded(png)}'></figure>"
        for title, png in grids.items()
    )
    return f"<div class='grids'>{figures}</div>"


def _embedded(image: bytes) -> str:
    kind = "png" if image.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(image).decode()}"


def _search(data: StudyData, order_looks: Mapping[str, Look]) -> Section:
    plots: list[Plot] = []
    body = _note(_counted(data))

    def add(heading: str, words: str, plot: Plot | None) -> None:
        nonlocal body
        if plot is not None:
            plots.append(plot)
            body += f"<h3>{_e(heading)}</h3>{_note(words)}{_place(plot)}"

    add("Pareto set", data.pareto, pareto(data.trials, order_looks, data.objectives, data.directions))
    add(
        "Parallel coordinates",
        "Each finished trial is a line, the better the darker (in dark mode, the brighter). Drag along an axis to keep "
        "only the trials in a range, click to let all back in. A trial that has no such parameter passes at none.",
        parallel(data.trials, data.parameters, data.objectives, data.directions),
    )
    weighed = [table for table in data.importances if table.shares]
    for i, table in enumerate(data.importances):
        if table.shares:
            add(table.heading, f"{table.sentence} {table.meaning}", importance(f"importance-{i}", table))
        elif not weighed and i == 0:
            body += f"<h3>{_e(table.heading)}</h3>{_note(table.sentence[:1].upper() + table.sentence[1:])}"
    add(
        "Trials over time",
        "Each run's last value when it ended. These are values of a search on few seeds: the best of many look better "
        "than they are.",
        over_time(data.trials, order_looks, data.objective, data.direction),
    )
    add(
        "What was stopped, and when",
        "All learning curves of the search; a cross is where the stopping rule ended one.",
        stopped(data.trials, order_looks, data.objective),
    )
    return Section(name="search", heading=f"The search{data.size}", body=body, plots=plots)


def _counted(data: StudyData) -> str:
    searched = [trial for trial in data.trials if trial.params]
    counts: dict[str, int] = {}
    for trial in searched:
        counts[trial.outcome] = counts.get(trial.outcome, 0) + 1
    baselines = len(data.trials) - len(searched)
    if not data.trials:
        return "No trials."
    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in counts.items())
    words = f"{len(searched)} trials" + (f": {outcomes}" if outcomes else "")
    return f"{words}. Beside them {baselines} baseline run{'s' * (baselines != 1)}, which are never stopped."


def _ablation(data: StudyData) -> Section:
    path, heading = data.path, "From ordinary training to the winner"
    if path is None:
        words = "This study has no ablation (study.ablation_seeds is 0)."
        return Section(name="ablation", heading=heading, body=_nothing(words))
    if not any(step.values for step in path.steps):
        return Section(name="ablation", heading=heading, body=_nothing(path.sentence))
    plot = ablation(path, data.objective, data.direction)
    body = _note(f"{path.sentence} {path.meaning}") + _place(plot)
    return Section(name="ablation", heading=heading, body=body, plots=[plot])


def _cost(data: StudyData) -> Section:
    parts: list[Cost] = [part for part in data.costs if part.runs]
    whole = Cost(
        part="all",
        runs=sum(part.runs for part in parts),
        images=sum(part.images for part in parts),
        hours=sum(part.hours for part in parts),
        gpu_hours=sum(part.gpu_hours for part in parts),
    )
    listed = [*parts, whole]
    columns = {
        "phase": [part.part for part in listed],
        "runs": [f"{part.runs:,}" for part in listed],
        "images": [f"{part.images:,}" for part in listed],
        "time of its runs": [duration(3600 * part.hours) for part in listed],
        "GPU-hours": [f"{part.gpu_hours:.2f}" for part in listed],
    }
    words = (
        f"Commands were at work for {duration(3600 * data.hours)}, and runs held {data.gpu_hours:.2f} GPU-hours, with "
        "start-up and what was interrupted. The table adds up the runs that have ended, each with its own time, "
        "however many there were at once."
    )
    return Section(
        name="cost", heading="Cost", body=_note(words) + _table(columns, words=("phase",), bold=len(listed) - 1)
    )


def _repeat(data: StudyData) -> Section:
    commands = "".join(
        f"<div class='command'><span>{_e(purpose)}</span><code>{_e(command)}</code>"
        "<button type='button'>copy</button></div>"
        for purpose, command in data.commands.items()
    )
    files = "".join(
        f"<details><summary>{_e(name)}</summary><pre>{_e(content)}</pre></details>"
        for name, content in data.files.items()
    )
    versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    body = f"{commands}{files}" + _note(f"This page was made with {versions}.")
    return Section(name="repeat", heading="Configuration, and how to repeat it", body=body)


def _table(columns: Mapping[str, Sequence[str]], *, words: Iterable[str], bold: int | None = None) -> str:
    wordy = set(words)
    kinds = ["word" if head in wordy else "number" for head in columns]
    head = "".join(f"<th class='{kind}'>{_e(name)}</th>" for kind, name in zip(kinds, columns, strict=True))
    rows = []
    for i, cells in enumerate(zip(*columns.values(), strict=True)):
        row = "".join(f"<td class='{kind}'>{_e(cell)}</td>" for kind, cell in zip(kinds, cells, strict=True))
        rows.append(f"<tr{' class=best' if i == bold else ''}>{row}</tr>")
    return f"<div class='scroll'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"


def _place(plot: Plot) -> str:
    width = f" style='min-width:{plot.least_width}px'" if plot.least_width else ""
    return (
        f"<div class='scroll'><div class='plot' id='plot-{plot.name}' role='img' aria-label='{_e(plot.label)}' "
        f"data-height='{plot.height}'{width}></div></div>"
    )


def _variable(look: Look) -> str:
    return look.colour.replace("$", "--")


def _note(words: str) -> str:
    return f"<p class='note'>{_e(words)}</p>" if words else ""


def _nothing(words: str) -> str:
    return f"<p class='nothing'>{_e(words)}</p>"


def _e(words: str) -> str:
    return html.escape(words)
