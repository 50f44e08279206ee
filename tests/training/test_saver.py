"""Checkpoints are written from a copy while training goes on, one at a time, and what goes wrong is heard."""

import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from curriculum_search.training import checkpoint
from curriculum_search.training.saver import Saver


class Gate:
    """Stands for `checkpoint.save`: writes only when it is let, and knows what is being written."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0
        self._save = checkpoint.save

    def __call__(self, path: Path, state: dict[str, Any]) -> None:
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.begun.release()
        assert self.open.wait(30)
        self._save(path, state)
        self.at_once -= 1


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setattr(checkpoint, "save", gate)
    return gate


def test_what_is_written_is_the_state_as_it_was_handed_over(tmp_path: Path, gate: Gate) -> None:
    weight, momentum, sums = torch.ones(3), torch.zeros(2), [1.0]
    state = {"images": 80, "network": {"weight": weight}, "optimizer": {"state": {0: (momentum,)}}, "sums": [sums]}
    saver = Saver()
    saver.save({tmp_path / "checkpoint.pt": state})
    assert gate.begun.acquire(timeout=30)  # Nobody has waited for the disk.
    weight.zero_()
    momentum.add_(1.0)
    sums[0] = 2.0
    state["images"] = 160
    gate.open.set()
    saver.wait()
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    assert (loaded["images"], loaded["sums"]) == (80, [[1.0]])
    assert torch.equal(loaded["network"]["weight"], torch.ones(3))
    assert torch.equal(loaded["optimizer"]["state"][0][0], torch.zeros(2))


def test_a_second_state_waits_for_the_write_of_the_first(tmp_path: Path, gate: Gate) -> None:
    saver = Saver()
    saver.save({tmp_path / "checkpoint.pt": {"images": 80}})
    threading.Timer(0.2, gate.open.set).start()
    saver.save({tmp_path / "checkpoint.pt": {"images": 160}, tmp_path / "other.pt": {"images": 161}})
    assert checkpoint.load(tmp_path / "checkpoint.pt")["images"] in (80, 160)
    saver.wait()
    assert gate.most_at_once == 1
    assert checkpoint.load(tmp_path / "checkpoint.pt")["images"] == 160
    assert checkpoint.load(tmp_path / "checkpoint.before.pt")["images"] == 80
    assert checkpoint.load(tmp_path / "other.pt")["images"] == 161


def test_a_write_that_fails_is_heard_once_by_whoever_asks_next(tmp_path: Path) -> None:
    saver = Saver()
    saver.save({tmp_path / "missing" / "checkpoint.pt": {"images": 80}})
    with pytest.raises(FileNotFoundError):
        saver.wait()
    saver.check()
    saver.save({tmp_path / "missing" / "checkpoint.pt": {"images": 80}})
    assert saver._thread is not None
    saver._thread.join()
    with pytest.raises(FileNotFoundError):
        saver.check()


def leave(saver: Saver, path: Path, error: BaseException | None) -> None:
    """Hand over a state and leave the block, by an error if there is one."""
    with saver:
        saver.save({path: {"images": 80}})
        if error is not None:
            raise error


def test_the_write_is_finished_when_the_block_is_left_whether_it_went_well_or_not(tmp_path: Path, gate: Gate) -> None:
    for number, error in enumerate((None, RuntimeError("no"), SystemExit())):
        path = tmp_path / f"{number}.pt"
        gate.open.clear()
        threading.Timer(0.2, gate.open.set).start()
        if error is None:
            leave(Saver(), path, None)
        else:
            with pytest.raises(type(error)):
                leave(Saver(), path, error)
        assert checkpoint.load(path)["images"] == 80


def test_whoever_interrupts_does_not_wait_for_the_disk(tmp_path: Path, gate: Gate) -> None:
    saver = Saver()
    with pytest.raises(KeyboardInterrupt):
        leave(saver, tmp_path / "checkpoint.pt", KeyboardInterrupt())
    assert not (tmp_path / "checkpoint.pt").exists()
    gate.open.set()
    saver.wait()
