"""The form of diffusers' train_text_to_image.py."""

from pathlib import Path
from types import SimpleNamespace

import torch
from adapters.loops.accelerator import Accelerator
from adapters.loops.common import BATCH, STEPS, Loader, Network, Run
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch.nn import functional as F

from curriculum_search.adapters import DiffusersTimesteps

ARGS = SimpleNamespace(max_train_steps=STEPS, snr_gamma=None, prediction_type="epsilon")


def train(*, stop: int, resume: bool) -> Run:
    args, accelerator, unet = ARGS, Accelerator(), Network()
    noise_scheduler = DDPMScheduler(prediction_type=args.prediction_type)
    accelerator.register_for_checkpointing(unet)
    optimizer = torch.optim.AdamW(unet.parameters())
    total_batch_size = BATCH * accelerator.num_processes
    # [docs] after total_batch_size, before accelerator.load_state
    curriculum = DiffusersTimesteps(
        "curriculum.json", noise_scheduler, total_images=args.max_train_steps * total_batch_size
    )
    accelerator.register_for_checkpointing(curriculum)
    # [/docs]
    run, global_step = Run(curriculum), 0
    if resume:
        path = max(Path.cwd().glob("checkpoint-*"))
        accelerator.load_state(path)
        global_step = int(path.name.removeprefix("checkpoint-"))
    for latents, _ in Loader(global_step, stop):
        noise = torch.randn_like(latents)
        bsz = latents.shape[0]
        # [docs] instead of timesteps = torch.randint(...)
        timesteps = curriculum.timesteps(bsz, latents.device)
        # [/docs]
        noisy_latents = noise_scheduler.add_noise(latents, noise, timesteps)
        if noise_scheduler.config.prediction_type == "epsilon":
            target = noise
        else:
            target = noise_scheduler.get_velocity(latents, noise, timesteps)
        model_pred = unet(noisy_latents, timesteps)
        # [docs] after model_pred
        losses = F.mse_loss(model_pred.float(), target.float(), reduction="none").flatten(1).mean(1)
        curriculum.observe(losses)
        # [/docs]
        if args.snr_gamma is None:
            # [docs] instead of loss = F.mse_loss(...), where args.snr_gamma is None
            loss = (losses * curriculum.importance).mean()
            # [/docs]
        else:
            snr = compute_snr(noise_scheduler, timesteps)
            mse_loss_weights = torch.stack([snr, args.snr_gamma * torch.ones_like(timesteps)], dim=1).min(dim=1)[0]
            if noise_scheduler.config.prediction_type == "epsilon":
                mse_loss_weights = mse_loss_weights / snr
            elif noise_scheduler.config.prediction_type == "v_prediction":
                mse_loss_weights = mse_loss_weights / (snr + 1)
            # [docs] instead of the lines from loss = F.mse_loss(...) on, where it is not
            loss = (losses * mse_loss_weights * curriculum.importance).mean()
            # [/docs]
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        run.record(timesteps, loss, losses)
        global_step += 1
    accelerator.save_state(Path.cwd() / f"checkpoint-{global_step:06}")
    return run
