"""A checkpoint in parts is one as soon as all have written theirs, and not before."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

from curriculum_search.training import CHECKPOINT, checkpoint
from curriculum_search.training.saver import Saver
from curriculum_search.training.writer import CheckpointWriter


class Alone:
    """The sharding of a single worker, whose rows are all there are."""

    def split(self, state: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        own = {name: state[name] for name in checkpoint.SHARED}
        return {name: value for name, value in state.items() if name not in own}, own


@dataclass
class State:
    """What a writer asks of a run's state."""

    sharding: Alone | None
    identity: str = "a"
    saves: int = 0
    weights: torch.Tensor = field(default_factory=lambda: torch.zeros(3))

    def state_dict(self) -> dict[str, Any]:
        tensors = {name: {"w": self.weights} for name in checkpoint.SHARED}
        return {"identity": self.identity, "images": 16 * self.saves, "saves": self.saves, **tensors}


def writer(folder: Path, sharding: Alone | None) -> CheckpointWriter:
    return CheckpointWriter(folder / CHECKPOINT, State(sharding), Saver())  # type: ignore[arg-type]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def parts(*numbers: int) -> list[str]:
    return [f"checkpoint.{number}.part-0-of-1.pt" for number in numbers]


@pytest.mark.parametrize("sharding", [None, Alone()], ids=["whole", "in parts"])
def test_what_is_saved_is_loaded_and_the_last_two_are_kept(tmp_path: Path, sharding: Alone | None) -> None:
    ours = writer(tmp_path, sharding)
    for _ in range(3):
        ours.state.weights += 1  # type: ignore[attr-defined]
        ours.save()
    ours.finish()
    for path, number in ((ours.path, 3), (checkpoint.before(ours.path), 2)):
        state = checkpoint.load(path)
        assert (state["images"], state["saves"]) == (16 * number, number)
        assert all(state[name]["w"].tolist() == 3 * [number] for name in checkpoint.SHARED)
    assert files(tmp_path) == [*(parts(2, 3) if sharding else []), "checkpoint.before.pt", CHECKPOINT]
    checkpoint.keep_last(ours.path)
    assert files(tmp_path) == [*(parts(3) if sharding else []), CHECKPOINT]


def test_it_is_the_last_checkpoint_only_when_it_is_committed(tmp_path: Path) -> None:
    ours = writer(tmp_path, Alone())
    ours.save()
    ours.saver.wait()
    assert files(tmp_path) == parts(1)
    ours.state.weights += 1  # type: ignore[attr-defined]
    ours.commit()
    ours.saver.wait()
    assert checkpoint.load(ours.path)["ema"]["w"].tolist() == [0.0, 0.0, 0.0]
    ours.save()  # as of a process that is killed now
    ours.saver.wait()
    assert checkpoint.load(ours.path)["saves"] == 1
    again = writer(tmp_path, Alone())
    again.state.saves = 1
    again.save()
    again.finish()
    assert files(tmp_path) == [*parts(1, 2), "checkpoint.before.pt", CHECKPOINT]
    assert checkpoint.load(again.path)["ema"]["w"].tolist() == [0.0, 0.0, 0.0]


def test_a_run_goes_on_from_parts_to_wholes_and_leaves_none_behind(tmp_path: Path) -> None:
    sharded = writer(tmp_path, Alone())
    sharded.save()
    sharded.finish()
    plain = writer(tmp_path, None)
    plain.state.saves = 1
    for _ in range(2):
        plain.save()
        plain.finish()
    assert files(tmp_path) == ["checkpoint.before.pt", CHECKPOINT]
