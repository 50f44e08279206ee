"""A study that is interrupted, twice, and comes to the same end: Ctrl-C, then a driver and its Ray killed outright."""

import json
import os
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from mlflow import MlflowClient
from mlflow.entities import Run
from support.tracked import tracked_runs
from support.workplace import Workplace, wait_for

from curriculum_search.experiment import Experiment
from curriculum_search.loading import validated
from curriculum_search.runs.folder import RunFolder
from curriculum_search.runs.job import Status
from curriculum_search.training import PlainSession, train

POINTS = [80, 160, 240, 320]
TIMES = {"images_per_second", "train_seconds"}


@dataclass
class Chapter:
    """What was found after a command had ended."""

    status: int
    out: str
    err: str
    processes: int  # while it ran
    deserted: bool
    witnessed: int
    finished: set[str]
    begun: set[str]
    mlflow: list[Run] = field(default_factory=list)


@dataclass
class Story:
    workplace: Workplace
    root: Path
    second_driver: tuple[int, str, str] = (0, "", "")
    chapters: list[Chapter] = field(default_factory=list)


@pytest.fixture(scope="module")
def story(make_workplace: Callable[[], Workplace]) -> Story:
    """Interrupted by Ctrl-C, then killed, then left to come to its end."""
    workplace = make_workplace()
    story = Story(workplace, workplace.results / "tiny")
    command = (workplace.study, workplace.watched(), "study.trials=4", "study.confirmation.leaders=0")

    def turn_page(process: subprocess.Popen[str], processes: int) -> None:
        out, err = process.communicate(timeout=120)
        deserted = workplace.is_deserted()
        workplace.kill_all()
        runs = [folder for folder in (story.root / "runs").iterdir() if (folder / "log.jsonl").exists()]
        ended = {folder.name for folder in runs if RunFolder(folder).read_result()}
        chapter = Chapter(
            status=process.returncode,
            out=out,
            err=err,
            processes=processes,
            deserted=deserted,
            witnessed=len(workplace.witnessed()),
            finished=ended,
            begun={folder.name for folder in runs} - ended,
        )
        chapter.mlflow = tracked_runs(workplace.store)
        story.chapters.append(chapter)

    def start(evaluations: int) -> subprocess.Popen[str]:
        workplace.hold_after(evaluations)
        process = workplace.start("search", *command)
        assert wait_for(lambda: len(workplace.witnessed()) > evaluations, 120), process.communicate()
        return process

    first = start(7)
    story.second_driver = workplace.call("search", *command)
    processes = len(workplace.started())
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: to the command and to what it has started
    turn_page(first, processes)

    second = start(story.chapters[0].witnessed + 7)
    processes = len(workplace.started())
    second.kill()
    turn_page(second, processes)

    workplace.hold_after(None)
    third = workplace.start("search", *command)
    turn_page(third, 0)
    return story


def test_ctrl_c_ends_the_command_and_all_that_it_has_started(story: Story) -> None:
    chapter = story.chapters[0]
    assert chapter.status == 130
    assert chapter.err.strip() == "interrupted; the same command goes on from here"
    assert chapter.processes > 5
    assert chapter.deserted
    assert chapter.begun, "the test is to interrupt a run that has begun"


def test_after_ctrl_c_nothing_in_mlflow_is_said_to_run(story: Story) -> None:
    chapter = story.chapters[0]
    states = {run.data.tags["curriculum_search.run"]: run.info.status for run in chapter.mlflow}
    assert states.pop("study") == "KILLED"
    assert {key for key, state in states.items() if state == "FINISHED"} == chapter.finished
    assert {state for key, state in states.items() if key not in chapter.finished} == {"KILLED"}


def test_a_second_driver_is_kept_out(story: Story) -> None:
    status, out, err = story.second_driver
    assert (status, out) == (2, "")
    assert err == f"error: {story.root}: another command is at work there; wait for it, or stop it\n"


def test_a_killed_driver_takes_the_ray_that_it_started_with_it(story: Story) -> None:
    chapter = story.chapters[1]
    assert chapter.status == -signal.SIGKILL
    assert chapter.processes > 5
    assert chapter.deserted
    assert chapter.begun


def test_the_study_comes_to_its_end(story: Story) -> None:
    chapter = story.chapters[2]
    assert (chapter.status, chapter.err) == (0, "")
    assert len(chapter.finished) == 6
    assert not chapter.begun
    assert (story.root / "best.yaml").exists()


def test_no_run_is_trained_twice(story: Story) -> None:
    """At each interruption, no more than the stretch under way of each of two runs is trained again."""
    evaluations = story.chapters[2].witnessed
    assert 6 * 4 <= evaluations <= 6 * 4 + 2 * 2
    for earlier, later in zip(story.chapters, story.chapters[1:], strict=False):
        assert earlier.finished <= later.finished


def test_each_curve_has_each_point_once(story: Story) -> None:
    for folder in (story.root / "runs").iterdir():
        reports = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert [report["images"] for report in reports] == POINTS
    client = MlflowClient(story.workplace.store)
    runs = story.chapters[2].mlflow
    assert Counter(run.data.tags["curriculum_search.run"] for run in runs).most_common(1)[0][1] == 1
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 7
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            steps = [point.step for point in client.get_metric_history(run.info.run_id, "val_loss")]
            assert steps == POINTS


def test_an_interrupted_run_ends_where_it_would_have_ended(story: Story, tmp_path: Path) -> None:
    for chapter in story.chapters[:2]:
        key = min(chapter.begun)
        folder = story.root / "runs" / key
        plain = json.loads((folder / "experiment.json").read_text())
        plain["evaluation"]["evaluators"][1]["log"] = ""  # What is trained does not depend on it.
        session = PlainSession(run_dir=tmp_path / key, device=torch.device("cpu"))
        session.run_dir.mkdir(exist_ok=True)
        result = train(validated(Experiment, plain, key), session, story.workplace.cache)
        ended = RunFolder(folder).read_result()
        assert ended
        assert ended.status is Status.FINISHED
        assert {n: v for n, v in result.metrics.items() if n not in TIMES} == {
            n: v for n, v in ended.metrics.items() if n not in TIMES
        }
        assert result.exposure == ended.exposure
