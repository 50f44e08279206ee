"""Two real workers: what one sees of the losses, the other decides by."""

import json
import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from curriculum_search.adapters import ScheduleSampler
from curriculum_search.curriculum import Curriculum, CurriculumSampler, Plateau
from curriculum_search.diffusion import DDPM, Density, LossSecondMoment, Uniform

STEPS, LOCAL_BATCH, WORKERS = 120, 8, 2
CASES: dict[str, tuple[Plateau, Density]] = {
    "raw": (Plateau(patience_share=0.02, window_steps=5), Uniform()),
    "smoothed": (Plateau(gate="smoothed", patience_share=0.02, window_steps=5), Uniform()),
    "adaptive": (Plateau(patience_share=0.02, window_steps=5), LossSecondMoment(num_bins=6, history=2)),
}


def make(case: str) -> Curriculum:
    return Curriculum(num_clusters=5, pacing=CASES[case][0])


def build(case: str) -> CurriculumSampler:
    return make(case).build(DDPM(), CASES[case][1], STEPS * LOCAL_BATCH * WORKERS, LOCAL_BATCH * WORKERS, "cpu")


def losses_of(step: int) -> torch.Tensor:
    """The losses of all workers in a step; those of the two halves of the batch have nothing in common."""
    return 1.0 + torch.rand(WORKERS * LOCAL_BATCH, generator=torch.Generator().manual_seed(step))


def train(sampler: CurriculumSampler, rank: int, world_size: int, save_after: int | None = None) -> dict[str, Any]:
    saved = None
    local = slice(rank * WORKERS * LOCAL_BATCH // world_size, (rank + 1) * WORKERS * LOCAL_BATCH // world_size)
    for step in range(1, STEPS + 1):
        u = torch.rand(WORKERS * LOCAL_BATCH, generator=torch.Generator().manual_seed(1000 + step))[local]
        q, _ = sampler.draw(u)
        sampler.observe(q, losses_of(step)[local])
        sampler.update(step * LOCAL_BATCH * WORKERS)
        if step == save_after:
            saved = sampler.state_dict()
    return {"end": sampler.state_dict(), "saved": saved}


def train_by_adapter(path: str, rank: int) -> dict[str, Any]:
    """A loop of somebody else's, which reports its losses through the published callback."""
    torch.manual_seed(rank)
    adapter = ScheduleSampler(path, 1000, total_images="as searched")
    for step in range(1, STEPS + 1):
        t, _ = adapter.sample(LOCAL_BATCH, "cpu")
        adapter.update_with_local_losses(t, losses_of(step)[rank * LOCAL_BATCH :][:LOCAL_BATCH])
        if rank == 0:  # one worker may validate alone
            with adapter.validation():
                t, _ = adapter.sample(LOCAL_BATCH, "cpu")
                adapter.update_with_local_losses(t, torch.zeros(LOCAL_BATCH))
    return adapter.state_dict()


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORKERS)
    results: dict[str, Any] = {case: train(build(case), rank, WORKERS, save_after=63) for case in CASES}
    results["adapter"] = train_by_adapter(f"{folder}/curriculum.json", rank)
    Path(folder, f"{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


def switches(state: dict[str, Any]) -> list[tuple[int, int]]:
    return [(switch["images"], switch["stage"]) for switch in state["history"]]


def test_two_workers_decide_alike_and_as_one_with_all_the_losses(tmp_path: Path) -> None:
    total, batch = STEPS * LOCAL_BATCH * WORKERS, LOCAL_BATCH * WORKERS
    make("raw").resolve(DDPM(), Uniform(), total, batch).save(tmp_path / "curriculum.json")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    spawn(worker, args=(str(tmp_path),), nprocs=WORKERS)  # type: ignore[no-untyped-call]
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(WORKERS))
    # Compared as text, because a loss that an adaptive density has not seen yet is NaN and equals nothing.
    assert json.dumps(first) == json.dumps(second)
    assert first["adapter"]["images_seen"] == total

    for case in CASES:
        alone = train(build(case), 0, 1)["end"]
        assert len(switches(alone)) > 2
        assert switches(first[case]["end"]) == switches(alone)
        # The state of two workers, taken in the middle of a window, is continued by one.
        resumed = build(case)
        resumed.load_state_dict(first[case]["saved"])
        for step in range(64, STEPS + 1):
            u = torch.rand(batch, generator=torch.Generator().manual_seed(1000 + step))
            resumed.observe(resumed.draw(u)[0], losses_of(step))
            resumed.update(step * batch)
        assert switches(resumed.state_dict()) == switches(alone)
    assert switches(first["adapter"]["sampler"])[-1][1] == 5
