"""A damaged checkpoint is found, set aside and named, and the run comes to the same end from the one before it."""

import contextlib
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from curriculum_search.experiment import Experiment
from curriculum_search.training import CHECKPOINT, Interrupted, PlainSession, Report, checkpoint, train

CPU = torch.device("cpu")
STATE = {"images": 80, "network": {"weight": torch.arange(600.0)}, "sums": [[0.5, 1.0]]}


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def test_every_flipped_bit_of_the_content_is_found(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, STATE)
    content = path.read_bytes()
    for place in range(0, len(content) - 16, 7):
        path.write_bytes(flipped(content, place))
        with pytest.raises(checkpoint.DamagedError, match="its content is not what its checksum says"):
            checkpoint.load(path)


def test_a_flipped_bit_of_the_seal_changes_nothing_that_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, STATE)
    content = path.read_bytes()
    for place in range(len(content) - 16, len(content)):
        path.write_bytes(flipped(content, place))
        with contextlib.suppress(checkpoint.DamagedError):
            assert torch.equal(checkpoint.load(path)["network"]["weight"], torch.arange(600.0))


def test_no_damage_is_told_in_pytorchs_words_nor_escapes_as_another_error(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    checkpoint.save(path, STATE)
    content, chance = path.read_bytes(), random.Random(0)
    damaged = [
        b"",
        b"\0" * 5_000,
        b"garbage",
        b"PK\x03\x04",
        b"\x80\x02}q\x00.",
        b"version https://git-lfs.github.com/",
    ]
    damaged += [content[: chance.randrange(len(content))] for _ in range(100)]
    damaged += [chance.randbytes(chance.randrange(1, 3_000)) for _ in range(200)]
    damaged += [b"\x80\x02" + chance.randbytes(60) for _ in range(200)]
    for each in damaged:
        path.write_bytes(each)
        with pytest.raises(checkpoint.DamagedError) as caught:
            checkpoint.load(path)
        message = str(caught.value)
        assert message.startswith(f"{path} is not a readable checkpoint: ")
        assert "weights_only" not in message
        assert "\n" not in message


def test_a_checkpoint_of_an_earlier_version_has_no_seal_and_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    torch.save({"format": checkpoint.FORMAT, **STATE}, path)
    assert checkpoint.load(path)["images"] == 80
    content = path.read_bytes()
    path.write_bytes(flipped(content, content.index(torch.arange(600.0).numpy().tobytes()) + 900))
    with pytest.raises(checkpoint.DamagedError, match="it was cut off or changed"):
        checkpoint.load(path)


def test_pytorch_alone_reads_a_checkpoint(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / CHECKPOINT, STATE)
    for mmap in (False, True):
        loaded = torch.load(tmp_path / CHECKPOINT, weights_only=True, mmap=mmap)
        assert torch.equal(loaded["network"]["weight"], torch.arange(600.0))


def test_a_whole_file_of_another_program_is_refused_and_never_said_to_be_damaged(tmp_path: Path) -> None:
    torch.save({"args": Path("a class")}, tmp_path / CHECKPOINT)
    with pytest.raises(
        ValueError, match="is not a checkpoint of this project: it is a pickle of another program"
    ) as caught:
        checkpoint.load(tmp_path / CHECKPOINT)
    assert not isinstance(caught.value, checkpoint.DamagedError)


class Halts(PlainSession):
    """Asks the run to stop after 160 images."""

    def report(self, report: Report) -> None:
        super().report(report)
        self.should_stop = report.images == 160


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: random.Random(1).randbytes(len(content)),
    "flipped": lambda content: flipped(content, len(content) // 2),
}


def interrupted(tiny: Any, runner: Any, name: str) -> Path:
    """The folder of a run that was stopped one step after its second evaluation."""
    run_dir: Path = runner.folder / name
    run_dir.mkdir()
    with pytest.raises(Interrupted):
        runner(tiny(), Halts(run_dir=run_dir, device=CPU))
    return run_dir


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_run_whose_checkpoint_is_damaged_falls_back_to_the_one_before_and_ends_the_same(
    tiny: Any, runner: Any, damage: str
) -> None:
    experiment = tiny()
    runner(experiment)
    expected = runner.curve()
    run_dir = interrupted(tiny, runner, "damaged")
    path = run_dir / CHECKPOINT
    assert [checkpoint.load(each)["images"] for each in (checkpoint.before(path), path)] == [160, 176]
    content = DAMAGES[damage](path.read_bytes())
    path.write_bytes(content)
    with pytest.warns(
        UserWarning,
        match=r"checkpoint\.pt is not a readable .* is now checkpoint\.pt\.damaged-1, and the run goes on from the one "
        r"before, at 160 images$",
    ):
        runner(experiment, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected
    assert (run_dir / f"{CHECKPOINT}.damaged-1").read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runner(experiment, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected


def test_a_run_whose_checkpoints_are_both_damaged_begins_again_and_ends_the_same(tiny: Any, runner: Any) -> None:
    runner(tiny())
    expected = runner.curve()
    run_dir = interrupted(tiny, runner, "damaged")
    for path in (run_dir / CHECKPOINT, checkpoint.before(run_dir / CHECKPOINT)):
        path.write_bytes(b"")
    with pytest.warns(
        UserWarning,
        match=r"/checkpoint\.pt is not .* is now checkpoint\.pt\.damaged-1; .*/checkpoint\.before\.pt is not .* is now "
        r"checkpoint\.before\.pt\.damaged-1, and the run begins again$",
    ):
        runner(tiny(), PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected


@pytest.mark.filterwarnings("error")
def test_a_kill_between_the_two_moves_of_a_save_costs_no_more_than_that_checkpoint(tiny: Any, runner: Any) -> None:
    runner(tiny())
    expected = runner.curve()
    run_dir = interrupted(tiny, runner, "moved")
    (run_dir / CHECKPOINT).unlink()
    session = PlainSession(run_dir=run_dir, device=CPU, should_stop=True)
    with pytest.raises(Interrupted) as stopped:
        runner(tiny(), session)
    assert stopped.value.images == 176
    runner(tiny(), PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected


def worker(rank: int, folder: str, experiment: Experiment) -> None:
    """Train in `folder` as one of two workers."""
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    session = PlainSession(run_dir=Path(folder), device=CPU)
    train(experiment, session, Path(folder, "cache"))
    Path(folder, f"worker {rank}").write_text(str([report.images for report in session.reports]))


@pytest.mark.filterwarnings("ignore:.*checkpoint")
def test_several_workers_fall_back_together(tiny: Any, runner: Any) -> None:
    experiment, run_dir = tiny(), interrupted(tiny, runner, "two")
    (run_dir / CHECKPOINT).write_bytes((run_dir / CHECKPOINT).read_bytes()[:2_000])
    spawn(worker, (str(run_dir), experiment), nprocs=2)  # type: ignore[no-untyped-call]
    for rank in range(2):
        assert (run_dir / f"worker {rank}").read_text() == "[80, 160, 240, 320]"
    assert [path.name for path in run_dir.glob(f"{CHECKPOINT}.*")] == [f"{CHECKPOINT}.damaged-1"]
