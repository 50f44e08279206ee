"""The form of diffusers' train_unconditional.py."""

from pathlib import Path

import torch
from adapters.loops.accelerator import Accelerator
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run
from diffusers import DDPMScheduler
from torch.nn import functional as F

from curriculum_search.adapters import DiffusersTimesteps


def train(*, stop: int, resume: bool) -> Run:
    accelerator, model, noise_scheduler = Accelerator(), Network(), DDPMScheduler()
    accelerator.register_for_checkpointing(model)
    optimizer = torch.optim.AdamW(model.parameters())
    max_train_steps, total_batch_size = STEPS, BATCH * accelerator.num_processes
    # [docs] after noise_scheduler, max_train_steps and total_batch_size, before accelerator.load_state
    curriculum = DiffusersTimesteps("curriculum.json", noise_scheduler, total_images=max_train_steps * total_batch_size)
    accelerator.register_for_checkpointing(curriculum)
    # [/docs]
    run, global_step = Run(curriculum), 0
    if resume:
        path = max(Path.cwd().glob("checkpoint-*"))
        accelerator.load_state(path)
        global_step = int(path.name.removeprefix("checkpoint-"))
    for clean_images, _ in Loader(global_step, stop):
        noise = torch.randn_like(clean_images)
        bsz = clean_images.shape[0]
        # [docs] instead of timesteps = torch.randint(...)
        timesteps = curriculum.timesteps(bsz, clean_images.device)
        # [/docs]
        noisy_images = noise_scheduler.add_noise(clean_images, noise, timesteps)
        model_output = model(noisy_images, timesteps)
        # [docs] instead of loss = F.mse_loss(...)
        losses = F.mse_loss(model_output.float(), noise.float(), reduction="none").flatten(1).mean(1)
        curriculum.observe(losses)
        loss = (losses * curriculum.importance).mean()
        # [/docs]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        run.record(timesteps, loss, losses)
        global_step += 1
    accelerator.save_state(Path.cwd() / f"checkpoint-{global_step:06}")
    return run
