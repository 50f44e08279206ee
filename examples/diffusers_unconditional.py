"""The form of diffusers' unconditional training script: a program with arguments, which a study starts for each run.

What a study adds are the lines that say so.  ``python jobs/search.py examples/diffusers_unconditional.yaml``
"""

import argparse

import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel
from digits import Batches, distance, load
from torch import Tensor

from curriculum_search.trainers import connect


@torch.no_grad()
def generate(model: UNet2DModel, noise_scheduler: DDPMScheduler, num_images: int) -> Tensor:
    """Images from noise, the same noise each time."""
    scheduler = DDIMScheduler.from_config(noise_scheduler.config)
    scheduler.set_timesteps(8)
    images = torch.randn(num_images, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for t in scheduler.timesteps:
        images = scheduler.step(model(images, t).sample, t, images).prev_sample
    return images


def main(args: argparse.Namespace) -> None:
    run = connect()  # added
    torch.manual_seed(run.seed)  # added
    images, labels, held_out = load()
    model = UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(16, 32),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
    )
    noise_scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule=args.ddpm_beta_schedule)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.learning_rate)
    curriculum = run.diffusers_timesteps(noise_scheduler)  # added
    train_dataloader = Batches(images, labels, args.train_batch_size, run.seed)
    if (state := run.restore()) is not None:  # added: an interrupted run goes on
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        train_dataloader.position = state["position"]
    while not run.should_stop:  # instead of a number of epochs
        clean_images, _ = train_dataloader.next()
        noise = torch.randn_like(clean_images)
        bsz = clean_images.shape[0]
        timesteps = curriculum.timesteps(bsz, clean_images.device)  # instead of timesteps = torch.randint(...)
        noisy_images = noise_scheduler.add_noise(clean_images, noise, timesteps)
        model_output = model(noisy_images, timesteps).sample
        losses = F.mse_loss(model_output.float(), noise.float(), reduction="none").flatten(1).mean(1)
        curriculum.observe(losses)  # added
        loss = (losses * curriculum.importance).mean()  # instead of loss = F.mse_loss(...)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if run.report_is_due:  # added, as often as training.num_evaluations says
            metrics = {"fd": distance(generate(model, noise_scheduler, 100), held_out)}
            checkpoint = {
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "position": train_dataloader.position,
            }
            run.report(images=run.images_seen, metrics=metrics, checkpoint=checkpoint)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--train_batch_size", type=int, default=32)
    parser.add_argument("--learning_rate", type=float, default=1e-3)
    parser.add_argument("--ddpm_beta_schedule", default="linear")
    main(parser.parse_args())
