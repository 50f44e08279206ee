"""How many workers a group gets where a run may have fewer or more: decisions only, of groups that nobody starts."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import ray

from curriculum_search.experiment import Resources, WorkerRange
from curriculum_search.runs import groups as module
from curriculum_search.runs import placement
from curriculum_search.runs.groups import Groups
from curriculum_search.runs.notices import Stopped

SIZES = (2, 4, 8)
RESOURCES = Resources(workers=WorkerRange(min=2, max=8))


class Staged:
    """Groups whose homes only write down what they are told."""

    def __init__(self) -> None:
        self.groups = Groups()
        self.ended: list[str] = []
        self.left: list[tuple[str, str]] = []
        self.broke: list[Stopped] = []
        self.begun = True
        self.now = 0.0

    def assign(self, trial: str, slots: int, sizes: tuple[int, ...] = SIZES) -> int:
        """The size of the group that a trial gets."""
        found = self.groups.assign(trial, RESOURCES, Path("storage"), sizes=sizes, slots=slots)
        return int(found["size"])

    def fit(self, slots: int, seconds: float = 0.0) -> None:
        self.now += seconds
        self.groups.fit(slots)


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> Staged:
    found = Staged()
    actor = SimpleNamespace(
        run=SimpleNamespace(remote=lambda *_: "running"),
        stop=SimpleNamespace(remote=lambda number: None),
        broke=SimpleNamespace(remote=lambda error: found.broke.append(error)),
    )
    options = SimpleNamespace(remote=lambda name, size: actor)
    monkeypatch.setattr(ray, "remote", lambda cls: SimpleNamespace(options=lambda **_: options))
    monkeypatch.setattr(ray, "kill", lambda home: None)
    monkeypatch.setattr(module, "_is_ready", lambda reference: False)
    monkeypatch.setattr(module, "_has_begun", lambda group: found.begun)
    monkeypatch.setattr(placement, "remove", found.ended.append)
    monkeypatch.setattr(module, "forget_group", lambda name: None)
    monkeypatch.setattr(module, "ask_group_to_leave", lambda name, why: found.left.append((name, why)))
    monkeypatch.setattr("time.monotonic", lambda: found.now)
    return found


def test_a_trial_gets_as_many_workers_as_there_is_room_for_beside_the_others(staged: Staged) -> None:
    assert staged.assign("first", slots=13) == 8
    assert staged.assign("second", slots=13) == 4
    assert staged.groups.assign("third", RESOURCES, Path("storage"), sizes=SIZES, slots=13)["waits"]


def test_an_idle_group_of_the_right_size_is_used_and_others_make_room(staged: Staged) -> None:
    staged.assign("first", slots=8)
    staged.groups.take_back("first", failed=False)
    assert staged.assign("second", slots=8) == 8
    assert staged.ended == []
    staged.groups.take_back("second", failed=False)
    assert staged.assign("third", slots=4) == 4  # half of the cluster is gone
    assert len(staged.ended) == 1


def test_an_idle_group_that_is_in_nobodys_way_stays_until_it_is(staged: Staged) -> None:
    for trial in ("first", "second"):
        staged.assign(trial, slots=12)
    staged.groups.take_back("second", failed=False)
    staged.fit(12)
    assert staged.ended == []
    assert staged.assign("third", slots=14, sizes=(2,)) == 2  # beside eight and the idle four
    assert staged.ended == []
    staged.fit(12)  # two are gone: eight may be waiting for what the idle four hold
    assert len(staged.ended) == 1


def test_a_group_that_could_be_larger_for_a_while_is_asked_to_leave_once(staged: Staged) -> None:
    staged.assign("first", slots=3)
    staged.fit(8)
    staged.fit(8, seconds=module._ROOM_SECONDS - 1)
    staged.fit(2)  # the room was there for a moment only
    staged.fit(8)
    staged.fit(8, seconds=module._ROOM_SECONDS - 1)
    assert staged.left == []
    staged.fit(8, seconds=1)
    staged.fit(8, seconds=1)
    ((_, why),) = staged.left
    assert why == "there is room for 8 workers now, and it has 2"


def test_a_group_that_has_not_begun_is_not_asked_to_leave(staged: Staged) -> None:
    staged.assign("first", slots=2)
    staged.begun = False
    staged.fit(8)
    staged.fit(8, seconds=module._ROOM_SECONDS)
    assert staged.left == []
    staged.begun = True
    staged.fit(8)
    assert len(staged.left) == 1


def test_nothing_grows_while_a_run_waits_for_room(staged: Staged) -> None:
    staged.assign("first", slots=4)
    staged.fit(8)
    staged.groups.fit(8, grow=False)
    staged.fit(8, seconds=module._ROOM_SECONDS)
    assert staged.left == []
    assert staged.groups.has_room(RESOURCES, slots=6)
    assert not staged.groups.has_room(RESOURCES, slots=5)


def test_a_group_that_was_asked_to_leave_gets_no_other_trial(staged: Staged) -> None:
    for end in ("stop", "take_back"):
        staged.assign("first", slots=2)
        staged.fit(8)
        staged.fit(8, seconds=module._ROOM_SECONDS)
        if end == "stop":
            staged.groups.stop("first")
        else:
            staged.groups.take_back("first", failed=False)
    assert len(staged.left) == len(staged.ended) == 2


def test_a_trial_that_is_not_to_be_disturbed_keeps_its_group(staged: Staged) -> None:
    staged.groups.assign("first", RESOURCES, Path("storage"), sizes=SIZES, slots=2, resizes=False)
    staged.fit(8)
    staged.fit(8, seconds=module._ROOM_SECONDS)
    staged.begun = False
    staged.fit(1)
    assert not staged.left
    assert not staged.broke


def test_groups_grow_one_at_a_time(staged: Staged) -> None:
    for trial in ("first", "second"):
        staged.assign(trial, slots=4)
    staged.fit(8)
    staged.fit(8, seconds=module._ROOM_SECONDS)
    assert [why for _, why in staged.left] == ["there is room for 4 workers now, and it has 2"]


def test_a_group_that_waits_for_more_workers_than_there_are_gives_up(staged: Staged) -> None:
    staged.assign("first", slots=8)
    staged.fit(4)  # it is at work: of a worker that is gone Ray Train tells
    assert staged.broke == []
    staged.begun = False
    staged.fit(1)  # with room for fewer than the fewest it waits
    assert staged.broke == []
    staged.fit(5)
    assert [str(error) for error in staged.broke] == ["there is room for 4 workers, not 8"]


def test_a_group_of_a_fixed_size_is_left_alone(staged: Staged) -> None:
    staged.assign("first", slots=4, sizes=(4,))
    staged.begun = False
    staged.fit(2)
    staged.fit(16)
    staged.fit(16, seconds=module._ROOM_SECONDS)
    assert not staged.broke
    assert not staged.left
