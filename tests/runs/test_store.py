"""The runs of a command: one owner of what each has seen and how it ended, on disk, at work and in MLflow."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, call, create_autospec

import pytest
from support.clock import Clock

from curriculum_search.direction import Direction
from curriculum_search.experiment import Experiment, Resources, Training
from curriculum_search.runs.job import Outcome, Status
from curriculum_search.runs.record import RunRecord
from curriculum_search.runs.result import RunResult
from curriculum_search.runs.store import RunStore
from curriculum_search.runs.watch import STACKS
from curriculum_search.tracking import Tracker
from curriculum_search.training import Report, StatusReport

SHORT = Experiment(training=Training(total_images=320, batch_size=16, num_evaluations=4))


def report(images: int, value: float, *, exposure: Mapping[str, list[float]] | None = None) -> Report:
    return Report(images=images, metrics={"fd": value}, exposure=exposure or {})


@pytest.fixture
def clock() -> Clock:
    return Clock()


#: Opens the store of a study, by its folder's name, as a command that has just been started does, with its tracker.
Open = Callable[..., tuple[RunStore, Mock]]


@pytest.fixture
def open_store(tmp_path: Path, clock: Clock) -> Open:
    def make(name: str = "") -> tuple[RunStore, Mock]:
        tracker: Mock = create_autospec(Tracker, instance=True)
        store = RunStore(
            tmp_path / name,
            cache_dir=tmp_path / "cache",
            plugins={"mine.py": "x = 1"},
            tracker=tracker,
            objective="fd",
            direction=Direction.MINIMIZE,
            clock=clock,
        )
        return store, tracker

    return make


@pytest.mark.parametrize(
    ("status", "values", "tracked"),
    [
        (Status.FINISHED, [3.0, 1.0, 2.0], {"best_fd": 1.0, "end_fd": 2.0}),
        (Status.STOPPED, [3.0, 1.0], {"best_fd": 1.0}),
        (Status.DIVERGED, [3.0], {"best_fd": 3.0}),
        (Status.FAILED, [], {}),
    ],
)
def test_only_a_run_that_came_to_its_end_has_a_value_there(
    open_store: Open, status: Status, values: list[float], tracked: dict[str, float]
) -> None:
    store, tracker = open_store()
    job = store.start("key", Experiment(), name="trial", tags={})
    for i, value in enumerate(values):
        store.reported(job.key, report(10 * i, value))
    store.ended(job.key, Outcome(status=status))
    assert tracker.end_run.call_args.kwargs["best"] == tracked


# A run from its beginning to its end.


def status(images: int) -> StatusReport:
    return StatusReport(images=images, train_loss=0.5, images_per_second=9.0, stage=1, unlocked_share=0.5)


def test_a_run_that_is_handed_out_has_a_folder_a_job_and_a_record(open_store: Open, tmp_path: Path) -> None:
    store, tracker = open_store()
    gpu = replace(SHORT, resources=Resources(workers=2, gpus_per_worker=0.5))
    job = store.start("key", gpu, name="trial 0", tags={"role": "searched"})
    assert (job.key, job.experiment, job.run_dir) == ("key", gpu, (tmp_path / "runs" / "key").resolve())
    assert (job.cache_dir, job.plugins, job.working_dir) == (tmp_path / "cache", {"mine.py": "x = 1"}, Path.cwd())
    assert store.folder("key").read_experiment()["plugins"] == ["mine.py"]
    assert store.records["key"] == RunRecord(
        key="key", seed=0, gpus=1.0, adopted=False, images=0, status=None, seconds=0.0
    )
    live = store.live["key"]
    assert (live.name, live.total_images, live.number, live.images_before) == ("trial 0", 320, 1, 0)
    assert tracker.start_run.call_args.args == ("key",)
    assert tracker.start_run.call_args.kwargs["tags"] == {"role": "searched"}
    assert tracker.log_artifact.call_args.args == ("key", store.folder("key").experiment)


def test_a_report_is_written_once_whoever_says_it_again(open_store: Open, clock: Clock) -> None:
    store, tracker = open_store()
    store.start("key", SHORT, name="trial 0", tags={})
    clock.now = 5.0
    assert store.reported("key", report(80, 3.0))
    clock.now = 9.0
    assert store.reported("key", report(160, 2.0))
    assert not store.reported("key", report(160, 2.0))
    assert (store.records["key"].images, store.live["key"].images) == (160, 160)
    assert store.live["key"].first_report == (5.0, 80)
    assert [call.args[1] for call in tracker.log_metrics.call_args_list] == [80, 160]
    assert store.folder("key").read_curve().images == [80, 160]

    again, tracker = open_store()  # the next command, whose run goes on from a checkpoint before its last report
    again.start("key", SHORT, name="trial 0", tags={})
    assert (again.live["key"].images_before, again.live["key"].first_report) == (160, None)
    assert not again.reported("key", report(160, 2.0))
    assert again.reported("key", report(240, 1.0))
    # What the folder has goes first, for a kill may have come before the tracker had it, which takes a point once.
    assert [call.args[1] for call in tracker.log_metrics.call_args_list] == [80, 160, 240]
    assert again.folder("key").read_curve().images == [80, 160, 240]


def test_statuses_that_a_resumed_run_says_again_move_it_on_and_are_not_written_twice(open_store: Open) -> None:
    store, tracker = open_store()
    store.start("key", SHORT, name="trial 0", tags={})
    for images in (40, 120):
        store.progressed("key", status(images))
    assert store.live["key"].share == 120 / 320
    (first, *_) = tracker.log_metrics.call_args_list
    assert first.args == (
        "key",
        40,
        {"status/train_loss": 0.5, "status/images_per_second": 9.0, "status/stage": 1.0, "status/unlocked_share": 0.5},
    )

    again, tracker = open_store()
    again.start("key", SHORT, name="trial 0", tags={})
    assert again.live["key"].share == 0.0
    for images in (80, 120, 160):
        again.progressed("key", status(images))
        assert again.live["key"].share == images / 320
    assert [call.args[1] for call in tracker.log_metrics.call_args_list] == [160]
    assert again.folder("key").read_curve().status_images == 160
    lines = (again.folder("key").path / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["images"] for line in lines] == [40, 120, 160]


def test_the_end_of_a_run_is_written_last_and_takes_it_out_of_what_is_under_way(open_store: Open, clock: Clock) -> None:
    store, tracker = open_store()
    job = store.start("key", SHORT, name="trial 0", tags={})
    (job.run_dir / "samples").mkdir()
    (job.run_dir / "samples" / "160.png").write_bytes(b"pixels")
    store.reported("key", report(160, 3.0))
    shown = call("key", job.run_dir / "samples" / "160.png", "samples", 160)
    assert tracker.log_image.mock_calls == [shown]  # while the run goes on
    store.reported("key", report(320, 2.0, exposure={"mass": [1.0]}))
    (job.run_dir / "samples.png").write_bytes(b"pixels")
    clock.now = 7.0
    tracker.end_run.side_effect = KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        store.ended("key", Outcome(status=Status.FINISHED))
    assert store.folder("key").read_result() is None
    assert "key" in store.live
    tracker.end_run.side_effect = None
    result = store.ended("key", Outcome(status=Status.FINISHED))
    assert result == RunResult(
        status=Status.FINISHED, metrics={"fd": 2.0}, images=320, seconds=7.0, exposure={"mass": [1.0]}
    )
    assert store.folder("key").read_result() == store.result("key") == result
    assert store.live == {}
    assert (store.records["key"].status, store.records["key"].seconds) == (Status.FINISHED, 7.0)
    assert store.records["key"].settled
    assert tracker.log_artifact.call_args.args == ("key", job.run_dir / "samples.png")
    assert tracker.log_image.mock_calls[-2:] == [shown, call("key", job.run_dir / "samples.png", "samples", 320)]
    assert tracker.set_tags.call_args.args == ("key", {"outcome": "finished"})


def test_a_failure_has_its_trace_beside_it_and_is_forgotten_to_be_tried_again(open_store: Open) -> None:
    store, tracker = open_store()
    job = store.start("key", SHORT, name="trial 0", tags={})
    store.reported("key", report(80, 3.0))
    (job.run_dir / "checkpoint.pt").write_bytes(b"weights")
    result = store.ended("key", Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1"))
    error = job.run_dir / "error.txt"
    assert (result.reason, error.read_text()) == (f"OSError: disk full ({error})", "line 1")
    assert tracker.set_tags.call_args.args == ("key", {"outcome": "failed", "reason": result.reason})
    assert tracker.end_run.call_args.kwargs["status"] == "FAILED"
    assert not store.records["key"].settled

    again, _ = open_store()
    assert [record.status for record in again.records.values()] == [Status.FAILED]
    again.forget_failure("key")
    assert again.result("key") is None
    assert (again.records["key"].status, again.records["key"].images) == (None, 80)
    assert open_store()[0].result("key") is None  # on disk too
    assert (job.run_dir / "checkpoint.pt").exists()


@pytest.mark.parametrize("end", [Status.FINISHED, Status.STOPPED, Status.DIVERGED])
def test_only_a_failure_is_forgotten(open_store: Open, end: Status) -> None:
    store, _ = open_store()
    store.forget_failure("key")  # of which there is nothing
    store.start("key", SHORT, name="trial 0", tags={})
    store.reported("key", report(80, 3.0))
    store.ended("key", Outcome(status=end))
    for opened in (store, open_store()[0]):
        opened.forget_failure("key")
        result = opened.result("key")
        assert result is not None
        assert result.status is end


def test_half_a_checkpoint_of_a_process_that_was_killed_stays_neither_after_its_command_nor_in_the_next(
    open_store: Open,
) -> None:
    code = "import os, sys; from curriculum_search.atomic import replacing; from pathlib import Path\n"
    code += "with replacing(Path(sys.argv[1])) as partial: partial.write_text('half'); os._exit(1)"
    store, _ = open_store()
    with store:
        job = store.start("key", SHORT, name="trial 0", tags={})
        write_half = [sys.executable, "-c", code, str(job.run_dir / "checkpoint.pt")]
        subprocess.run(write_half)
        assert len(list(job.run_dir.glob("*.partial"))) == 1
        store.ended("key", Outcome(status=Status.FAILED, reason="it said nothing for 180 minutes"))
    assert not list(job.run_dir.glob("*.partial"))
    subprocess.run(write_half)  # by one that was still dying
    with open_store()[0]:
        assert not list(job.run_dir.glob("*.partial"))


def test_what_is_under_way_when_the_command_ends_is_so_no_more(open_store: Open) -> None:
    store, tracker = open_store()
    with store:
        for key in ("done", "cut off", "late"):
            store.start(key, SHORT, name=key, tags={})
        assert [run.number for run in store.live.values()] == [1, 2, 3]
        store.reported("done", report(320, 1.0))
        store.ended("done", Outcome(status=Status.FINISHED))
        tracker.end_run.reset_mock()
    assert [(call.args[0], call.kwargs["status"]) for call in tracker.end_run.call_args_list] == [
        ("cut off", "KILLED"),
        ("late", "KILLED"),
    ]
    assert (store.live, store.begun) == ({}, 0)
    assert store.records["cut off"].status is None


# Runs of another study.


def test_a_finished_run_of_another_study_is_taken_over_with_its_curve(open_store: Open, tmp_path: Path) -> None:
    other, _ = open_store("other")
    other.start("key", SHORT, name="trial 3", tags={})
    for images, value in ((160, 3.0), (320, 2.0)):
        other.reported("key", report(images, value))
    other.ended("key", Outcome(status=Status.FINISHED))

    store, tracker = open_store("new")
    assert store.records == {}
    store.adopt("key", SHORT, tmp_path / "other" / "runs", name="mine", tags={"role": "searched"})
    record = store.records["key"]
    assert (record.adopted, record.settled, record.images, record.seed) == (True, True, 320, 0)
    assert store.result("key") == other.result("key")
    assert store.curve("key").points("fd") == [(160, 3.0), (320, 2.0)]
    assert [call.args for call in tracker.log_metrics.call_args_list] == [
        ("key", 160, {"fd": 3.0}),
        ("key", 320, {"fd": 2.0}),
    ]
    assert tracker.end_run.call_args.kwargs == {"status": "FINISHED", "best": {"best_fd": 2.0, "end_fd": 2.0}}
    tracker.reset_mock()
    store.adopt("key", SHORT, tmp_path / "other" / "runs", name="mine", tags={})  # it is here already
    assert tracker.mock_calls == []


@pytest.mark.parametrize("end", [None, Status.STOPPED, Status.DIVERGED, Status.FAILED])
def test_a_run_that_did_not_finish_elsewhere_is_not_taken_over(
    open_store: Open, tmp_path: Path, end: Status | None
) -> None:
    other, _ = open_store("other")
    other.start("key", SHORT, name="trial 3", tags={})
    other.reported("key", report(160, 3.0))
    if end is not None:
        other.ended("key", Outcome(status=end))
    store, tracker = open_store("new")
    store.adopt("key", SHORT, tmp_path / "other" / "runs", name="mine", tags={})
    assert (store.records, store.result("key"), tracker.mock_calls) == ({}, None, [])


def test_a_run_that_says_nothing_for_far_longer_than_any_did_is_told_of_once(open_store: Open, clock: Clock) -> None:
    store, _ = open_store()
    for key in ("one", "two"):
        store.start(key, SHORT, name=f"trial {key}", tags={})
    for now, images in ((400.0, 80), (420.0, 160)):  # the first 400 s are starting up, and 20 s then is what is usual
        clock.now = now
        for key in ("one", "two"):
            store.reported(key, report(images, 3.0))
    clock.now = 420.0 + 239.0
    assert store.silent() == []
    store.reported("two", report(240, 3.0))
    clock.now = 420.0 + 600.0
    assert store.silent() == []  # for 239 s have now been usual
    clock.now = 420.0 + 12 * 239.0
    assert store.silent() == ["trial one has said nothing for 48 min, after 160 images"]
    assert store.silent() == []
    store.went_on("one")
    clock.now += 12 * 12 * 239.0
    (line,) = (line for line in store.silent() if "trial one" in line)
    assert line.startswith("trial one has said nothing for ")
    store.progressed("one", status(200))
    assert store.silent() == []


def test_a_run_that_never_said_anything_is_given_time_and_its_stacks_are_named(open_store: Open, clock: Clock) -> None:
    store, _ = open_store()
    store.start("key", SHORT, name="trial 0", tags={})
    clock.now = 149.0
    assert store.silent() == []
    clock.now = 150.0
    stacks = store.folder("key").path / STACKS
    stacks.write_text("Timeout (0:02:00)!")
    line = f"trial 0 has said nothing for 2 min, after 0 images; {stacks} has where it stands"
    assert store.silent() == [line]
    store.restarted("key", "its node died")
    clock.now += 149.0
    assert store.silent() == []
    clock.now += 1.0
    assert store.silent() == [line]


def remarks(store: RunStore, key: str) -> list[str]:
    """What has befallen a run, without the times."""
    return [line[20:] for line in store.folder(key).read_remarks()]


def test_restarts_are_counted_over_all_commands(open_store: Open) -> None:
    reasons = ["its node died", "its process died", "OSError: a disk"]
    said = []
    for reason in reasons:
        store, tracker = open_store()  # the next command
        store.start("key", SHORT, name="trial 0", tags={})
        said.append(store.restarted("key", reason))
        tags = {name: value for each in tracker.set_tags.call_args_list for name, value in each.args[1].items()}
        assert (tags["restarts"], tags["restarted_after"]) == (str(len(said)), reason)
    assert said == [
        f"broke off for the {number} time and is started again: {reason}"
        for number, reason in zip(("1st", "2nd", "3rd"), reasons, strict=True)
    ]
    assert remarks(store, "key") == said
    assert tags["events"].splitlines() == store.folder("key").read_remarks()


def test_what_befalls_the_cluster_is_told_to_the_runs_under_way_then_whatever_is_said_next(open_store: Open) -> None:
    store, tracker = open_store()
    for key in ("done", "one", "two"):
        store.start(key, SHORT, name=key, tags={})
    store.reported("done", report(320, 1.0))
    store.ended("done", Outcome(status=Status.FINISHED))
    before = time.time()
    other = threading.Thread(target=store.befell, args=("a node has left",))
    other.start()
    other.join()
    after = time.time()
    assert remarks(store, "one") == []  # It is written by the thread that writes all else.
    store.start("late", SHORT, name="late", tags={})
    store.note("one", "it goes on")
    store.befell("a node has joined")
    store.ended("two", Outcome(status=Status.FAILED))
    assert remarks(store, "one") == ["a node has left", "it goes on", "a node has joined"]
    assert remarks(store, "two") == ["a node has left", "a node has joined"]
    assert remarks(store, "late") == ["a node has joined"]
    assert remarks(store, "done") == []
    first = json.loads((store.folder("one").path / "log.jsonl").read_text().splitlines()[0])
    assert before <= first["time"] <= after
    events = [each.args[1]["events"] for each in tracker.set_tags.call_args_list if each.args[0] == "one"]
    assert events[-1].splitlines() == store.folder("one").read_remarks()


def test_what_befell_the_storage_last_is_written_when_the_command_ends(open_store: Open) -> None:
    store, tracker = open_store()
    with store:
        store.start("key", SHORT, name="trial 0", tags={})
        store.befell("no answer for 30 minutes")
    assert remarks(store, "key") == ["no answer for 30 minutes"]
    assert [name for name, *_ in tracker.method_calls][-2:] == ["set_tags", "end_run"]
