"""Checkpoints are whole whenever they are there, and nothing else is taken for one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from curriculum_search.training import checkpoint


def test_what_is_saved_is_loaded_to_the_bit(tmp_path: Path) -> None:
    state = {"images": 160, "seconds": 0.1 + 0.2, "network": {"weight": torch.randn(3, 2)}, "sums": [[1e-300, 2.0]]}
    checkpoint.save(tmp_path / "checkpoint.pt", state)
    loaded = checkpoint.load(tmp_path / "checkpoint.pt")
    weight, expected = loaded["network"].pop("weight"), state["network"].pop("weight")  # type: ignore[attr-defined]
    assert torch.equal(weight, expected)
    assert loaded == {"format": checkpoint.FORMAT, **state}


def test_a_write_that_fails_leaves_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(state: Any, file: Any) -> None:
        file.write(b"half of it")
        raise OSError("No space left on device")

    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, {"images": 80})
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, {"images": 160})
    assert checkpoint.load(path)["images"] == 80


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(b"PK\x03\x04 something")
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a readable checkpoint"):
        checkpoint.load(path)
    checkpoint.save(path, {"images": 80})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a readable checkpoint"):
        checkpoint.load(path)
    torch.save({"format": checkpoint.FORMAT + 1}, path)
    with pytest.raises(ValueError, match=r"checkpoint\.pt is not a checkpoint of this version \(format 1\)"):
        checkpoint.load(path)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    for images in (80, 160, 240):
        checkpoint.save(path, {"images": images})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["checkpoint.before.pt", "checkpoint.pt"]
    assert [checkpoint.load(each)["images"] for each in (checkpoint.before(path), path)] == [160, 240]


def test_the_last_one_that_is_whole_is_loaded_and_damaged_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    assert checkpoint.load_last(path, sets_aside=True) == (None, "")
    for images in (80, 160):
        checkpoint.save(path, {"images": images})
    state, damage = checkpoint.load_last(path, sets_aside=True)
    assert state is not None
    assert (state["images"], damage) == (160, "")

    path.write_bytes(b"")
    words = f"{path} is not a readable checkpoint: it is empty"
    again = "and the run goes on from the one before, at 80 images"
    assert checkpoint.load_last(path, sets_aside=False)[1] == f"{words}, {again}"
    state, damage = checkpoint.load_last(path, sets_aside=True)
    assert state is not None
    assert (state["images"], damage) == (80, f"{words}; it is now checkpoint.pt.damaged-1, {again}")

    checkpoint.before(path).write_bytes(b"")
    state, damage = checkpoint.load_last(path, sets_aside=True)
    assert state is None
    assert damage.endswith("it is now checkpoint.before.pt.damaged-1, and the run begins again")
