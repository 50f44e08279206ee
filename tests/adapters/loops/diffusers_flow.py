"""The form of diffusers' train_dreambooth_sd3.py, train_dreambooth_flux.py and their like."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Protocol

import torch
from adapters.loops.accelerator import Accelerator
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_loss_weighting_for_sd3

from curriculum_search.adapters import DiffusersFlowMatching, DiffusersSigmas

ARGS = SimpleNamespace(
    max_train_steps=STEPS, weighting_scheme="logit_normal", logit_mean=0.3, logit_std=1.2, mode_scale=1.29
)


class Make(Protocol):
    def __call__(
        self, args: SimpleNamespace, noise_scheduler_copy: FlowMatchEulerDiscreteScheduler, total_batch_size: int
    ) -> DiffusersFlowMatching | DiffusersSigmas: ...


def made(
    args: SimpleNamespace, noise_scheduler_copy: FlowMatchEulerDiscreteScheduler, total_batch_size: int
) -> DiffusersFlowMatching:
    # [docs] after noise_scheduler_copy and total_batch_size
    curriculum = DiffusersFlowMatching(
        "curriculum.json",
        noise_scheduler_copy,
        total_images=args.max_train_steps * total_batch_size,
        weighting_scheme=args.weighting_scheme,
        logit_mean=args.logit_mean,
        logit_std=args.logit_std,
        mode_scale=args.mode_scale,
    )
    # [/docs]
    return curriculum  # noqa: RET504


def train(*, stop: int, resume: bool, made: Make = made) -> Run:
    args, accelerator, transformer = ARGS, Accelerator(), Network()
    noise_scheduler = FlowMatchEulerDiscreteScheduler(shift=3.0)  # as SD3's is configured
    noise_scheduler_copy = copy.deepcopy(noise_scheduler)
    accelerator.register_for_checkpointing(transformer)
    optimizer = torch.optim.AdamW(transformer.parameters())
    total_batch_size = BATCH * accelerator.num_processes
    curriculum = made(args, noise_scheduler_copy, total_batch_size)
    # [docs] after that, before accelerator.load_state
    accelerator.register_for_checkpointing(curriculum)
    # [/docs]
    run, global_step = Run(curriculum), 0
    if resume:
        path = max(Path.cwd().glob("checkpoint-*"))
        accelerator.load_state(path)
        global_step = int(path.name.removeprefix("checkpoint-"))
    for model_input, _ in Loader(global_step, stop):
        noise = torch.randn_like(model_input)
        bsz = model_input.shape[0]
        # [docs] instead of u = compute_density_for_timestep_sampling(...) and indices = ...
        indices = curriculum.indices(bsz)
        # [/docs]
        timesteps = noise_scheduler_copy.timesteps[indices].to(device=model_input.device)
        sigmas = noise_scheduler_copy.sigmas[indices].reshape(-1, 1, 1, 1)
        model_pred = transformer((1.0 - sigmas) * model_input + sigmas * noise, timesteps)
        target = noise - model_input
        weighting = compute_loss_weighting_for_sd3(weighting_scheme=args.weighting_scheme, sigmas=sigmas)
        loss = torch.mean((weighting.float() * (model_pred.float() - target.float()) ** 2).reshape(bsz, -1), 1)
        losses = loss.detach()
        # [docs] before loss = loss.mean()
        curriculum.observe(((model_pred.float() - target.float()) ** 2).flatten(1).mean(1))
        loss = loss * curriculum.importance.to(loss.device)
        # [/docs]
        loss = loss.mean()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        run.record(sigmas, loss, losses)
        global_step += 1
    accelerator.save_state(Path.cwd() / f"checkpoint-{global_step:06}")
    return run
