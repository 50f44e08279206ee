"""Jobs on a real Ray cluster: how each kind of end is told."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import torch
from support.jobs import Jobs, base_job, free_cpus, unwatched
from support.own_training import NOTHING, write_own
from support.workplace import Workplace

from curriculum_search.experiment import Experiment, Resources, WorkerRange
from curriculum_search.loading import validated
from curriculum_search.runs import patches, restarts
from curriculum_search.runs.executor import _JobSearcher, run_jobs
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.runs.mailbox import GOES_ON, REMARKS, WARNINGS
from curriculum_search.search.load import load_study
from curriculum_search.training import CHECKPOINT, PlainSession, Report, train

#: A plug-in: an evaluator that raises an error of its own, which does not survive pickling, from another; or dies.
FAULTY = """
import os
import signal
from dataclasses import dataclass
from typing import Literal

from curriculum_search.evaluation import Evaluator


class DeviceError(Exception):
    def __init__(self, device, advice):
        super().__init__(f"{device} is out of memory\\n\\n{advice}")


@dataclass(frozen=True, kw_only=True)
class Faulty(Evaluator):
    kind: Literal["faulty"] = "faulty"
    deadly: bool = False

    @property
    def names(self):
        return ("fault",)

    def evaluate(self, evidence):
        if self.deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            {}["the first cause"]
        except KeyError as error:
            raise DeviceError("cuda:3", "Compile with TORCH_USE_CUDA_DSA.") from error
        yield "fault", 1.0
"""
EVALUATORS = "base.evaluation.evaluators=[{{kind: val_loss, num_images: 8, num_levels: 10, num_intervals: 5}}, {}]"

POINTS = [80, 160, 240, 320]
TIMES = {"images_per_second", "train_seconds"}


class MakeJob(Protocol):
    """Makes a job of the tiny study's base experiment, with overrides, under a name."""

    def __call__(self, name: str, *overrides: str) -> Job: ...


@pytest.fixture(scope="module")
def make_job(make_workplace: Callable[[], Workplace]) -> MakeJob:
    workplace = make_workplace()
    (workplace.folder / "faulty.py").write_text(FAULTY)

    def make(name: str, *overrides: str) -> Job:
        log = workplace.folder / f"{name}.log"
        file = workplace.load(
            "base.plugins=[witness.py, faulty.py]", workplace.watched().replace("witness.log", log.name), *overrides
        )
        return base_job(workplace, file, name)

    return make


def witness_log(job: Job) -> Path:
    return Path(job.experiment.evaluation.evaluators[1].to_dict()["log"])


@pytest.fixture(scope="module")
def ends(
    make_job: MakeJob, make_workplace: Callable[[], Workplace], connect_two_cpus: Callable[[], None]
) -> tuple[Jobs, dict[str, Job]]:
    """Jobs, each of which comes to another end, run in one go."""
    connect_two_cpus()
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(restarts, "_FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(restarts, "_MOST_DEATHS", 1)
    jobs = {
        "good": make_job("good"),
        "killed": make_job("killed", "base.training.total_images=640", "base.cadence.status_images=48"),
        "diverging": make_job("diverging", "base.training.learning_rate=1e30", "base.training.max_grad_norm=null"),
        "broken": make_job("broken"),
        "stopped": make_job("stopped", "base.cadence.status_images=48"),
        "faulty": replace(make_job("faulty", EVALUATORS.format("{kind: faulty}")), tried_again="after_death"),
        "damaged": make_job("damaged"),
        "deadly": make_job("deadly", EVALUATORS.format("{kind: faulty, deadly: true}")),
    }
    for name, suffix in (("killed", ".kill"), ("broken", ".raise")):
        witness_log(jobs[name]).with_name(f"{name}.log{suffix}").touch()
    jobs["damaged"].run_dir.mkdir(parents=True)
    (jobs["damaged"].run_dir / CHECKPOINT).write_bytes(b"garbage")
    source = Jobs(list(jobs.values()), stop_at={"stopped": 160})
    scratch = jobs["good"].run_dir.parents[1] / "tune"
    run_jobs(source, resources=Resources(), limit=2, scratch=scratch)
    monkeypatch.undo()
    return source, jobs


def images(source: Jobs, name: str) -> list[int]:
    return [report.images for report in source.reports.get(name, [])]


def test_a_job_that_ends_well_reports_every_evaluation(ends: tuple[Jobs, dict[str, Job]]) -> None:
    source, _ = ends
    assert source.outcomes["good"] == Outcome(status=Status.FINISHED)
    assert images(source, "good") == POINTS
    last = source.reports["good"][-1]
    assert last.final
    assert last.exposure["mass"]
    assert last.metrics["val_loss"] > 0
    assert source.ticks > 0


def test_a_job_whose_process_dies_is_restarted_and_goes_on_from_its_checkpoint(
    ends: tuple[Jobs, dict[str, Job]], tmp_path: Path
) -> None:
    source, jobs = ends
    assert source.outcomes["killed"].status is Status.FINISHED
    processes = [line.split()[0] for line in witness_log(jobs["killed"]).read_text().splitlines()]
    assert len(set(processes)) == 2
    assert len(processes) == 4 + 1  # the evaluation in which it died, and those that it came to
    # What had been reported is reported again, for whoever did not hear it; nobody hears anything else.
    by_images = {report.images: report for report in source.reports["killed"]}
    assert sorted(by_images) == [160, 320, 480, 640]
    experiment = unwatched(jobs["killed"].experiment)
    session = PlainSession(run_dir=tmp_path, device=torch.device("cpu"))
    train(validated(Experiment, experiment, "killed"), session, jobs["killed"].cache_dir)
    for report in session.reports:
        expected = {name: value for name, value in report.metrics.items() if name not in TIMES}
        found = by_images[report.images].metrics
        assert {name: value for name, value in found.items() if name not in TIMES} == expected


def test_a_damaged_checkpoint_is_told_once_of_its_run(ends: tuple[Jobs, dict[str, Job]]) -> None:
    source, jobs = ends
    path = jobs["damaged"].run_dir / CHECKPOINT
    words = (
        f"{path} is not a readable checkpoint: it is text; it is now checkpoint.pt.damaged-1, and the run begins again"
    )
    assert source.remarks == {"damaged": [words]}
    assert source.outcomes["damaged"].status is Status.FINISHED
    assert images(source, "damaged") == POINTS


def test_a_job_that_diverges_is_told_with_its_reason(ends: tuple[Jobs, dict[str, Job]]) -> None:
    source, _ = ends
    outcome = source.outcomes["diverging"]
    assert outcome.status is Status.DIVERGED
    assert outcome.reason in (f"the training loss is {value} at 80 images" for value in ("nan", "inf"))
    assert images(source, "diverging") == []


def test_a_job_that_raises_is_tried_three_times_and_told_with_error_and_place(
    ends: tuple[Jobs, dict[str, Job]],
) -> None:
    source, jobs = ends
    outcome = source.outcomes["broken"]
    assert (outcome.status, outcome.reason) == (Status.FAILED, "RuntimeError: broken on purpose")
    assert "witness.py" in outcome.trace
    assert "loop.py" in outcome.trace
    assert len(witness_log(jobs["broken"]).read_text().splitlines()) == 3


def test_an_error_of_a_plugins_own_class_is_told_in_one_line_and_traced_to_its_first_cause(
    ends: tuple[Jobs, dict[str, Job]],
) -> None:
    outcome = ends[0].outcomes["faulty"]
    assert (outcome.status, outcome.reason) == (Status.FAILED, "DeviceError: cuda:3 is out of memory")
    first, second = outcome.trace.index("KeyError: 'the first cause'"), outcome.trace.index("DeviceError: cuda:3")
    assert first < second
    assert "Compile with TORCH_USE_CUDA_DSA." in outcome.trace
    assert "ray/" not in outcome.trace


def test_a_job_whose_process_dies_each_time_is_told_so(ends: tuple[Jobs, dict[str, Job]]) -> None:
    source, _ = ends
    outcome = source.outcomes["deadly"]
    assert outcome.status is Status.LOST
    assert outcome.reason.startswith("its process died: Worker unexpectedly exits")
    assert len(source.restarts["deadly"]) == 1
    assert outcome.reason.endswith("It may have been out of memory.")
    assert "\n" not in outcome.reason
    assert "The actor died unexpectedly" in outcome.trace


def test_a_job_ends_where_its_source_stops_it(ends: tuple[Jobs, dict[str, Job]]) -> None:
    source, _ = ends
    assert source.outcomes["stopped"] == Outcome(status=Status.STOPPED)
    assert images(source, "stopped") == [80, 160]


def test_what_the_source_raises_ends_the_run_and_is_raised(make_job: MakeJob, two_cpus: None) -> None:
    class Failing(Jobs):
        def reported(self, job: Job, report: Report) -> bool:
            raise OSError("no space left on device")

    job = make_job("unheard")
    with pytest.raises(OSError, match="no space left on device"):
        run_jobs(Failing([job]), resources=Resources(), limit=1, scratch=job.run_dir.parents[1] / "tune2")


def test_runs_that_are_under_way_when_the_source_raises_have_not_ended(make_job: MakeJob, two_cpus: None) -> None:
    held = make_job("held")
    hold = witness_log(held).with_name("held.log.hold")
    hold.write_text("0")

    class Failing(Jobs):
        def reported(self, job: Job, report: Report) -> bool:
            assert job.key == "unwritten"  # what is held up ends where it is
            raise OSError("no space left on device")

    source = Failing([held, make_job("unwritten")])
    with pytest.raises(OSError, match="no space left on device"):
        run_jobs(source, resources=Resources(), limit=2, scratch=held.run_dir.parents[1] / "tune3")
    hold.unlink()
    assert source.outcomes == {}


class Rounds(Jobs):
    """Two jobs at a time; the next two when both have ended."""

    def next(self) -> Job | Exhausted:
        running = self.handed_out - len(self.outcomes)
        if running and self.handed_out % 2 == 0:
            return Exhausted.WAIT
        found = super().next()
        self.handed_out += isinstance(found, Job)
        return found

    handed_out = 0


def test_processes_wait_for_the_next_round(make_job: MakeJob, two_cpus: None) -> None:
    jobs = [make_job(f"round_{i}") for i in range(6)]
    source = Rounds(list(jobs))
    run_jobs(source, resources=Resources(), limit=2, scratch=jobs[0].run_dir.parents[1] / "tune4")
    assert [outcome.status for outcome in source.outcomes.values()] == [Status.FINISHED] * 6
    processes = [witness_log(job).read_text().split()[0] for job in jobs]
    assert len(set(processes)) == 2
    assert len(set(processes[:2])) == len(set(processes[4:])) == 2


@pytest.mark.timeout(60)
def test_a_process_that_waits_too_long_gives_its_place_back(
    make_job: MakeJob, two_cpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patches, "KEPT_SECONDS", 0.5)

    held = make_job("held_up")
    hold = witness_log(held).with_name("held_up.log.hold")
    hold.write_text("0")

    class Late(Jobs):
        """Hands its last job out when the processor of the first is free, and then lets the second go on."""

        def next(self) -> Job | Exhausted:
            if len(self.waiting) == 1 and not (self.outcomes and free_cpus()):
                return Exhausted.WAIT
            if not self.waiting:
                hold.unlink(missing_ok=True)
            return super().next()

    jobs = [make_job("early"), held, make_job("late")]
    source = Late(list(jobs))
    run_jobs(source, resources=Resources(), limit=2, scratch=jobs[0].run_dir.parents[1] / "tune5")
    assert [outcome.status for outcome in source.outcomes.values()] == [Status.FINISHED] * 3
    assert len({witness_log(job).read_text().split()[0] for job in jobs}) == 3


def test_a_run_that_lost_its_workers_goes_on_beside_others_with_what_is_left(make_job: MakeJob) -> None:
    """A node is gone: there is room for one whole run of eight workers, and for more than the fewest beside one."""
    settings = Resources(workers=WorkerRange(min=2, max=8))
    job = make_job("lost", "base.resources.workers={min: 2, max: 8}")
    asked: list[dict[str, int]] = []

    class OneOfFour(Groups):
        def has_room(self, resources: Resources, slots: int) -> bool:
            return slots - 4 >= resources.fewest_workers

        def assign(self, trial: str, *_: Any, **options: Any) -> dict[str, Any]:
            asked.append(options)
            return {"group": "group", "number": 1, "size": 4, "waits": False}

    source = Jobs([make_job("fresh")])
    searcher = _JobSearcher(source, OneOfFour(), settings, job.run_dir)
    searcher.running["other"] = job
    searcher._again.append((0.0, job))
    searcher.slots = 5
    assert searcher.suggest("too early") is None
    searcher.slots = 8
    assert searcher.waits_for_room
    assert searcher.suggest("again")["size"] == 4
    assert asked == [{"sizes": (2, 4, 8), "slots": 8, "resizes": True}]
    assert not searcher.waits_for_room
    assert searcher.suggest("another") is None  # what has not begun waits until a whole run fits
    assert source.remarks == {"lost": ["trained by 4 of 8 workers from now on"]}


def test_what_a_trial_says_beside_its_reports_is_told_to_the_source_and_does_not_stop_it(make_job: MakeJob) -> None:
    job = make_job("said")
    source = Jobs([])
    searcher = _JobSearcher(source, Groups(), Resources(), job.run_dir)
    searcher.running["trial"] = job
    for message in ({REMARKS: '["gone", "back"]'}, {GOES_ON: True}, {WARNINGS: '["old"]'}, {WARNINGS: '["old"]'}):
        assert not searcher.hear("trial", {"images": 0} | message)
    assert (source.remarks, source.went, source.lines) == ({"said": ["gone", "back"]}, ["said"], ["warning: old"])
    assert not searcher.hear("over", {"images": 0, REMARKS: '["late"]'})
    assert list(source.remarks) == ["said"]


#: Code that needs a while to end when it is stopped, and, where it is told so, longer than Tune waits for it.
LINGERING = NOTHING.replace(
    "    while not run.should_stop:", "    import os, time\n    while not run.should_stop:"
).replace(
    "            run.report(",
    "            if patience := run.params['patience']:\n"
    "                os.environ['TUNE_FUNCTION_THREAD_TIMEOUT_S'] = patience\n"
    "            try:\n"
    "                run.report(",
)
LINGERING += """            except SystemExit:
                time.sleep(2.5)
                raise
"""


@pytest.mark.timeout(60)
def test_a_job_follows_one_that_is_slow_to_end_or_does_not_end(workplace: Workplace, two_cpus: None) -> None:
    jobs = []
    for name, patience in (("slow", ""), ("second", ""), ("stubborn", "0"), ("last", "")):
        path = write_own(workplace.folder, LINGERING)
        file = load_study(path, {"base.trainer.params.patience": patience})
        jobs.append(base_job(workplace, file, name))
    source = Jobs(list(jobs), stop_at={"slow": 80, "stubborn": 80})
    run_jobs(source, resources=Resources(), limit=1, scratch=workplace.folder / "tune")
    ends = {name: outcome.status for name, outcome in source.outcomes.items()}
    stopped, finished = Status.STOPPED, Status.FINISHED
    assert ends == {"slow": stopped, "second": finished, "stubborn": stopped, "last": finished}
    (again,) = source.restarts.items()
    assert again == ("last", ["its process or node is gone: RayActorError: the run before it does not end"])
