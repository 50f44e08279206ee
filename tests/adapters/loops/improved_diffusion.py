"""The form of improved-diffusion and guided-diffusion: scripts/image_train.py, and TrainLoop of train_util.py."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch as th
import torch.distributed as dist
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run, mean_flat, square_error
from torch import Tensor

from curriculum_search.adapters import ScheduleSampler

bf = SimpleNamespace(join=os.path.join, dirname=os.path.dirname, BlobFile=open)  # blobfile, for local paths


class LossAwareSampler(ABC):
    """The methods of the class of this name in their resample.py."""

    @abstractmethod
    def update_with_all_losses(self, ts: list[int], losses: list[float]) -> None: ...

    @abstractmethod
    def update_with_local_losses(self, local_ts: Tensor, local_losses: Tensor) -> None: ...


class Diffusion:
    num_timesteps = 4000  # their own default; the curriculum was searched with 1,000

    def training_losses(self, model: Network, x_start: Tensor, t: Tensor) -> dict[str, Tensor]:
        return {"loss": mean_flat(square_error(model, x_start, t, t / self.num_timesteps))}


def train(*, stop: int, resume: bool) -> Run:
    """scripts/image_train.py."""
    first = max(int(name[5:11]) for name in os.listdir() if name.startswith("model")) if resume else 0
    args = SimpleNamespace(
        batch_size=BATCH,
        lr_anneal_steps=STEPS,
        resume_checkpoint=os.path.join(get_blob_logdir(), f"model{first:06}.pt") if resume else "",
    )
    model, diffusion = Network(), Diffusion()
    # [docs] scripts/image_train.py, instead of the line with create_named_schedule_sampler
    LossAwareSampler.register(ScheduleSampler)
    schedule_sampler = ScheduleSampler(
        "curriculum.json", diffusion, total_images=args.lr_anneal_steps * args.batch_size * dist.get_world_size()
    )
    # [/docs]
    loop = TrainLoop(
        model=model,
        diffusion=diffusion,
        data=iter(Loader(first, stop)),
        microbatch=BATCH // 2,
        save_interval=stop - first,
        resume_checkpoint=args.resume_checkpoint,
        schedule_sampler=schedule_sampler,
        lr_anneal_steps=args.lr_anneal_steps,
    )
    loop.run_loop()
    return loop.run


class TrainLoop:
    def __init__(
        self,
        *,
        model: Network,
        diffusion: Diffusion,
        data: Iterator[tuple[Tensor, Tensor]],
        microbatch: int,
        save_interval: int,
        resume_checkpoint: str,
        schedule_sampler: Any,
        lr_anneal_steps: int,
    ) -> None:
        self.model, self.diffusion, self.data = model, diffusion, data
        self.microbatch, self.save_interval = microbatch, save_interval
        self.resume_checkpoint = resume_checkpoint
        self.schedule_sampler = schedule_sampler
        self.lr_anneal_steps = lr_anneal_steps
        self.step = self.resume_step = 0
        if resume_checkpoint:
            self.resume_step = int(resume_checkpoint.removesuffix(".pt")[-6:])
            self.model.load_state_dict(th.load(resume_checkpoint))
        self.opt = th.optim.SGD(self.model.parameters(), lr=0.01)
        self.run = Run(schedule_sampler)
        # [docs] train_util.py, at the end of TrainLoop.__init__
        if self.resume_step:
            folder = bf.dirname(find_resume_checkpoint() or self.resume_checkpoint)
            with bf.BlobFile(bf.join(folder, f"curriculum{self.resume_step:06}.pt"), "rb") as f:
                self.schedule_sampler.load_state_dict(th.load(f))
        # [/docs]

    def run_loop(self) -> None:
        while self.step + self.resume_step < self.lr_anneal_steps:
            try:
                batch, _ = next(self.data)
            except StopIteration:  # where a test stops it
                return
            self.forward_backward(batch)
            self.step += 1
            if self.step % self.save_interval == 0:
                self.save()

    def forward_backward(self, batch: Tensor) -> None:
        self.opt.zero_grad()
        for i in range(0, batch.shape[0], self.microbatch):
            micro = batch[i : i + self.microbatch]
            t, weights = self.schedule_sampler.sample(micro.shape[0], th.device("cpu"))
            losses = self.diffusion.training_losses(self.model, micro, t)
            if isinstance(self.schedule_sampler, LossAwareSampler):
                self.schedule_sampler.update_with_local_losses(t, losses["loss"].detach())
            loss = (losses["loss"] * weights).mean()
            loss.backward()
            self.run.record(t, loss, losses["loss"])
        self.opt.step()

    def save(self) -> None:
        if dist.get_rank() == 0:
            with bf.BlobFile(bf.join(get_blob_logdir(), f"model{self.step + self.resume_step:06d}.pt"), "wb") as f:
                th.save(self.model.state_dict(), f)
        # [docs] train_util.py, in TrainLoop.save, before dist.barrier()
        if dist.get_rank() == 0:
            name = f"curriculum{self.step + self.resume_step:06}.pt"
            with bf.BlobFile(bf.join(get_blob_logdir(), name), "wb") as f:
                th.save(self.schedule_sampler.state_dict(), f)
        # [/docs]
        dist.barrier()


def get_blob_logdir() -> str:
    return os.getcwd()


def find_resume_checkpoint() -> str | None:
    return None
