"""Phases one after the other as one source of jobs; runs are played, not trained."""

from collections.abc import Iterator

import pytest
from support.study import MakeSearch
from support.theatre import FINISHED, Theatre, ablation_of, confirmation_of
from support.workplace import Workplace

from curriculum_search.loading import UserError
from curriculum_search.runs.job import Exhausted, Job, Outcome, Status
from curriculum_search.search.phases.base import Phase
from curriculum_search.search.phases.chain import Chain
from curriculum_search.search.phases.search import SearchPhase

FAILED = Outcome(status=Status.FAILED, reason="OSError: disk full", trace="line 1")


def phases_of(search: SearchPhase, made: list[str]) -> Iterator[Phase]:
    """The phases of a study, and which of them has been made."""
    made.append("search")
    yield search
    made.append("confirmation")
    confirmation = confirmation_of(search)
    yield confirmation
    made.append("ablation")
    yield ablation_of(confirmation)


def two(phase: Phase) -> int:
    return 2


def test_each_phase_is_made_when_the_last_run_of_the_one_before_has_ended(
    workplace: Workplace, make_search: MakeSearch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = make_search(workplace.load("study.trials=3", "study.ablation_seeds=2"))
    made: list[str] = []
    with Chain(phases_of(search, made), two) as chain:
        jobs = []
        while isinstance(job := chain.next(), Job):
            jobs.append(job)
        assert job is Exhausted.WAIT  # nothing is left to be handed out, but the runs have not ended
        theatre = Theatre(chain)
        for job in jobs[:-1]:
            theatre.run(job)
        assert chain.next() is Exhausted.WAIT
        assert made == ["search"]
        theatre.run(jobs[-1])
        theatre.play()
        assert made == ["search", "confirmation", "ablation"]
        assert chain.phase is None
        assert chain.next() is Exhausted.DONE
    keys = [job.key for job in (*jobs, *theatre.played)]
    assert len(set(keys)) == len(keys) == len(search.store.records)
    assert not search.store.live
    lines = capsys.readouterr().out.splitlines()
    begun = [line.partition(":")[0] for line in lines if " at a time" in line]
    assert begun == ["search", "confirmation", "ablation"]


def test_what_is_played_in_a_chain_is_what_is_played_phase_by_phase(
    workplace: Workplace, make_search: MakeSearch
) -> None:
    search = make_search(workplace.load("study.trials=3", "study.ablation_seeds=2"))
    with Chain(phases_of(search, []), two) as chain:
        together = [job.key for job in Theatre(chain).play()]
    alone = make_search(workplace.load("study.name=alone", "study.trials=3", "study.ablation_seeds=2"))
    apart = [job.key for phase in phases_of(alone, []) for job in Theatre(phase).play()]
    assert together == apart


def test_a_phase_without_runs_is_passed_over(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=3"))
    Theatre(search).play()
    with Chain(phases_of(search, []), two) as chain:
        assert chain.phase is not None
        assert chain.phase.name == "confirmation"


def test_runs_that_need_other_resources_are_another_source(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=3", "study.proxy={resources.cpus_per_worker: 2}"))
    with Chain(phases_of(search, []), two) as chain:
        assert chain.resources is not None
        assert chain.resources.cpus_per_worker == 2
        small = Theatre(chain).play()
        assert {job.experiment.resources.cpus_per_worker for job in small} == {2}
        assert chain.resources is not None
        assert chain.resources.cpus_per_worker == 1
        large = Theatre(chain).play()
        assert {job.experiment.resources.cpus_per_worker for job in large} == {1}
        assert chain.phase is None


def test_what_befalls_the_cluster_is_told_to_the_phase_whose_runs_are_under_way(
    workplace: Workplace, make_search: MakeSearch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = make_search(workplace.load("study.trials=1"))
    with Chain(phases_of(search, []), two) as chain:
        job = chain.next()
        assert isinstance(job, Job)
        chain.befell("a node has left the cluster")
        search.store.write_befallen()
        (line,) = search.store.folder(job.key).read_remarks()
        assert line.endswith(" a node has left the cluster")
        Theatre(chain).run(job)
        Theatre(chain).play()
        chain.befell("a node has joined the cluster")
    assert capsys.readouterr().out.endswith(" a node has joined the cluster\n")


def test_what_fails_when_a_phase_is_made_leaves_the_chain(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=1"))

    def broken() -> Iterator[Phase]:
        yield search
        raise UserError("no confirmation")

    with pytest.raises(UserError, match="no confirmation"), Chain(broken(), two) as chain:
        Theatre(chain).play()


def test_a_phase_some_of_whose_runs_failed_is_not_closed(
    workplace: Workplace, make_search: MakeSearch, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = make_search(workplace.load("study.trials=3"))
    closed: list[str] = []
    monkeypatch.setattr(search.ledger, "close", closed.append)
    first = search.baselines[1].key
    with Chain(phases_of(search, []), two) as chain:
        Theatre(chain, end=lambda job: FAILED if job.key == first else FINISHED).play()
    assert closed == ["confirmation", "ablation"]


def test_what_is_at_work_when_the_block_is_left_was_interrupted(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=3"))
    handed_out = []

    def interrupted() -> None:
        with Chain(phases_of(search, []), two) as chain:
            handed_out.append(chain.next())
            assert search.store.live
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not search.store.live
    (job,) = handed_out
    assert isinstance(job, Job)
    assert search.store.result(job.key) is None


def test_a_phase_that_cannot_begin_leaves_nothing_at_work(workplace: Workplace, make_search: MakeSearch) -> None:
    search = make_search(workplace.load("study.trials=3", "study.max_hours=1"))

    def none(phase: Phase) -> int:
        raise UserError("no room")

    with pytest.raises(UserError, match="no room"), Chain(phases_of(search, []), none):
        pytest.fail("it has begun")
    assert search.ledger._since is None
