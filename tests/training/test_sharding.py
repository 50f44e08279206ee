"""Real workers, four and two: a run whose weights are shared out over them comes to what one process comes to."""

import json
import os
from dataclasses import dataclass, field, replace
from multiprocessing import set_forkserver_preload
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from support.runner import Make, Runner, timeless
from torch import nn
from torch.multiprocessing.spawn import start_processes

from curriculum_search.curriculum import Curriculum, Plateau
from curriculum_search.diffusion import Uncertainty
from curriculum_search.experiment import Cadence, Experiment, Resources
from curriculum_search.loading import validated
from curriculum_search.models import DiT
from curriculum_search.training import CHECKPOINT, Interrupted, PlainSession, Report, checkpoint, train

CPU = torch.device("cpu")
METRICS = ("train_loss", "val_loss", "fd_pca4_24")
MODEL = DiT(patch_size=4, hidden_size=16, depth=2, num_heads=2)  # 11 rows of labels, and 1 of positions
SHORT = {"total_images": 160, "num_evaluations": 2, "microbatch_size": 4}

CHAIN = "chain"  # begun by one process, gone on with by four workers and by two, ended by one process
PLAIN = "plain"
STOPPED = "stopped"  # one worker is told to stop wherever they meet
DAMAGED = "damaged"  # one worker's part of the last checkpoint is cut off
RECOMPUTED = "recomputed"
BFLOAT16 = "bfloat16"
LEARNED = "learned"  # whose loss weights are learned: left by two workers, ended by one
#: What is trained by so many workers, in this order, and where it is left.
PLAN: dict[int, dict[str, int | None]] = {
    4: {CHAIN: 160},
    2: {CHAIN: 240, PLAIN: None, STOPPED: None, DAMAGED: 80, RECOMPUTED: None, BFLOAT16: None, LEARNED: 80},
}


class Halt(Exception):  # noqa: N818
    """A worker group is stopped."""


@dataclass
class Session(PlainSession):
    """Keeps its reports and remarks, and ends the run at a report."""

    halts_at: int | None = None
    remarks: list[str] = field(default_factory=list)

    def report(self, report: Report) -> None:
        super().report(report)
        if report.images == self.halts_at:
            raise Halt

    def remark(self, words: str) -> None:
        self.remarks.append(words)


def attempt(experiment: Experiment, session: Session, folder: Path) -> bool:
    """Train, and say whether that was interrupted by the session."""
    try:
        train(experiment, session, folder / "cache")
    except Halt:
        return False
    except Interrupted:
        return True
    return False


def worker(rank: int, folder: Path) -> None:
    """Train what the plan has for four workers as one of them, and what it has for two."""
    for world_size, runs in PLAN.items():
        if rank >= world_size:
            return
        dist.init_process_group(
            "gloo", init_method=f"file://{folder}/meeting of {world_size}", rank=rank, world_size=world_size
        )
        for name, halts_at in runs.items():
            experiment = validated(Experiment, json.loads((folder / f"{name}.json").read_text()), name)
            experiment = replace(experiment, resources=replace(experiment.resources, workers=world_size))
            run_dir = folder / name
            run_dir.mkdir(exist_ok=True)
            stops, going, remarks = name == STOPPED and rank == 1, True, list[str]()
            while going:
                session = Session(run_dir=run_dir, device=CPU, should_stop=stops, halts_at=halts_at)
                going = attempt(experiment, session, folder)
                remarks += session.remarks
                if halts_at and name == DAMAGED:
                    dist.barrier()
                    if rank == 0:
                        path = checkpoint.part(run_dir / CHECKPOINT, 2, 1, 2)
                        path.write_bytes(path.read_bytes()[:-100])
                    dist.barrier()
                    going, halts_at = True, None
            told = [report.to_json() for report in session.reports]
            groups = len(dist.distributed_c10d._world.pg_map)
            (folder / f"{name}, rank {rank} of {world_size}").write_text(json.dumps([told, remarks, groups]))
        if world_size == 2:
            shares_buffers(rank, folder)
        dist.destroy_process_group()


def shares_buffers(rank: int, folder: Path) -> None:
    """Shard a network that keeps running means, and run it on other numbers on each worker."""
    from curriculum_search.training.sharding import Sharding

    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    sharding = Sharding(network, [], CPU, halflife_images=1, rampup_share=1.0)
    network(torch.full((2, 3), 1.0 + rank)).sum().backward()
    own = network.get_buffer("1.running_mean").tolist()
    sharding.share_buffers()
    sharding.ema.update(network, images_seen=16, batch_size=16)
    with sharding.ema.whole() as averaged:
        shared = averaged.get_buffer("1.running_mean").tolist()
    (folder / f"buffers of {rank}").write_text(json.dumps([own, shared]))


@dataclass
class Group:
    """What the workers left.

    Attributes:
        folder: of all runs.
        experiments: what was trained, by name.
    """

    folder: Path
    experiments: dict[str, Experiment]

    def told(self, name: str, rank: int = 0, world_size: int = 2) -> tuple[list[Report], list[str], int]:
        """What one worker reported, its remarks, and how many process groups there were at the end."""
        told, remarks, groups = json.loads((self.folder / f"{name}, rank {rank} of {world_size}").read_text())
        return [Report.from_json(text) for text in told], remarks, groups

    def curve(self, name: str, rank: int = 0) -> list[Any]:
        """All that was reported, but for times."""
        return timeless(self.told(name, rank)[0])

    def files(self, name: str) -> list[str]:
        return sorted(path.name for path in (self.folder / name).glob("checkpoint*"))


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory, tiny: Make) -> Group:
    folder = tmp_path_factory.mktemp("sharded")
    shared = Resources(workers=4, sharding="full")
    cadence = Cadence(status_images=64, checkpoint_images=64, checkpoint_minutes=None)
    gated = Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.05), reset_ema=True)
    plain = tiny(model=MODEL, training=SHORT, resources=shared, cadence=cadence)
    experiments = {
        CHAIN: tiny(model=MODEL, curriculum=gated, training={"microbatch_size": 2}, resources=shared),
        PLAIN: plain,
        STOPPED: plain,
        DAMAGED: plain,
        RECOMPUTED: replace(plain, resources=replace(shared, activation_checkpointing=True)),
        LEARNED: replace(plain, weighting=Uncertainty()),
        BFLOAT16: replace(plain, training=replace(plain.training, precision="bfloat16")),
    }
    for name, experiment in experiments.items():
        (folder / f"{name}.json").write_text(json.dumps(experiment.to_dict()))
    (folder / CHAIN).mkdir()
    attempt(experiments[CHAIN], Session(run_dir=folder / CHAIN, device=CPU, halts_at=80), folder)
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    set_forkserver_preload(["curriculum_search.training.sharding", "curriculum_search.loading", "torch._dynamo"])
    # A process that has imported them becomes four: half of the time that four take to start.
    start_processes(worker, args=(folder,), nprocs=4, start_method="forkserver")  # type: ignore[no-untyped-call]
    return Group(folder, experiments)


def close(ours: list[Report], others: list[Report], rel: float = 1e-4) -> bool:
    """Whether two curves have the same points, as far as rounding lets them."""
    return all(
        (a.images, a.switches) == (b.images, b.switches)
        and all(a.metrics[name] == pytest.approx(b.metrics[name], rel=rel) for name in METRICS)
        for a, b in zip(ours, others, strict=True)
    )


def test_any_number_of_workers_goes_on_with_what_any_other_began_sharded_or_not(group: Group, runner: Runner) -> None:
    runner(group.experiments[CHAIN])
    whole = runner.session.reports
    assert any(report.switches for report in whole)
    for world_size, points in ((4, 2), (2, 3)):
        for rank in range(world_size):
            reports, *_ = group.told(CHAIN, rank, world_size)
            assert close(reports, whole[:points])
            assert timeless(reports) == timeless(group.told(CHAIN, 0, world_size)[0])
    session = Session(run_dir=group.folder / CHAIN, device=CPU)
    assert checkpoint.load(session.run_dir / CHECKPOINT)["images"] == 240
    runner(group.experiments[CHAIN], session)
    assert close(session.reports, whole)
    parts = [f"checkpoint.3.part-{rank}-of-2.pt" for rank in range(2)]
    assert group.files(CHAIN) == [*parts, "checkpoint.before.pt", CHECKPOINT]


def test_two_workers_come_to_the_numbers_of_one_and_leave_no_process_group(group: Group, runner: Runner) -> None:
    runner(group.experiments[PLAIN])
    reports, remarks, groups = group.told(PLAIN)
    assert close(reports, runner.session.reports)
    assert (remarks, groups) == ([], 1)


def test_in_bfloat16_too(group: Group, runner: Runner) -> None:
    runner(group.experiments[BFLOAT16])
    assert close(group.told(BFLOAT16)[0], runner.session.reports, rel=0.02)
    assert group.curve(BFLOAT16) != group.curve(PLAIN)


def test_learned_loss_weights_are_those_of_one_worker_and_go_on_unsharded(group: Group, runner: Runner) -> None:
    runner(group.experiments[LEARNED])
    whole, alone = runner.session.reports, checkpoint.load(runner.session.run_dir / CHECKPOINT)
    reports, *_ = group.told(LEARNED)
    assert timeless(reports) == timeless(group.told(LEARNED, 1)[0])
    assert close(reports, whole[:1])
    session = Session(run_dir=group.folder / LEARNED, device=CPU)
    assert checkpoint.load(session.run_dir / CHECKPOINT)["images"] == 80
    runner(group.experiments[LEARNED], session)
    assert close(session.reports, whole)
    weights = [
        state["weighting"]["module"]["weight"] for state in (alone, checkpoint.load(session.run_dir / CHECKPOINT))
    ]
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-5)


def test_a_run_that_is_stopped_wherever_its_workers_meet_is_the_undisturbed_one_to_the_bit(group: Group) -> None:
    for rank in range(2):
        assert group.curve(STOPPED, rank) == group.curve(PLAIN, rank)


def test_blocks_that_are_computed_again_change_nothing(group: Group) -> None:
    assert group.curve(RECOMPUTED) == group.curve(PLAIN)


def test_a_damaged_part_falls_back_to_the_checkpoint_before(group: Group) -> None:
    for rank in range(2):
        assert group.curve(DAMAGED, rank) == group.curve(PLAIN, rank)
    path = group.folder / DAMAGED / CHECKPOINT
    (remark,) = group.told(DAMAGED)[1]
    assert remark == (
        f"{path} is not a readable checkpoint: its part checkpoint.2.part-1-of-2.pt is damaged: it was cut off or "
        f"changed; it is now {CHECKPOINT}.damaged-1, and the run goes on from the one before, at 64 images"
    )
    aside = [f"checkpoint.2.part-{rank}-of-2.pt.damaged-1" for rank in range(2)]
    assert [name for name in group.files(DAMAGED) if "damaged" in name] == [*aside, f"{CHECKPOINT}.damaged-1"]


def test_each_worker_has_written_its_part_of_every_tensor_and_two_checkpoints_are_kept(group: Group) -> None:
    path = group.folder / PLAIN / CHECKPOINT
    number = checkpoint.load(path, only={"saves"})["saves"]
    parts = [checkpoint.part(path, n, rank, 2) for n in (number - 1, number) for rank in range(2)]
    assert group.files(PLAIN) == [*(part.name for part in parts), "checkpoint.before.pt", CHECKPOINT]
    assert checkpoint.load(checkpoint.before(path))["images"] == 128
    state = checkpoint.load(path)
    halves = [torch.load(part, weights_only=True) for part in parts[2:]]
    for name, whole in state["optimizer"]["state"][3].items():
        if whole.ndim:
            own = [half["optimizer"]["state"][3][name] for half in halves]
            assert [len(each) for each in own] == [8, 8]
            assert torch.equal(torch.cat(own), whole)
    rows = [len(half["network"]["y_embedder.embedding_table.weight"]) for half in halves]
    assert rows == [6, 5]
    assert [len(half["ema"]["pos_embed"]) for half in halves] == [1, 0]


def test_buffers_are_the_first_workers(group: Group) -> None:
    (own, shared), (other, too) = (json.loads((group.folder / f"buffers of {rank}").read_text()) for rank in range(2))
    assert own != other
    assert own == shared == too
