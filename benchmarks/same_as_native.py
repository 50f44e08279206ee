"""The native loop's training of a small DiT on digits, written as a function of one's own."""

from typing import Any

import torch

from curriculum_search.data import DataOrder, Digits, Prefetcher
from curriculum_search.diffusion import DDPM, DDIMSampler
from curriculum_search.evaluation import Evaluation, Frechet, Pixels, ValidationLoss
from curriculum_search.models import DiT
from curriculum_search.models.encoders import PIXELS
from curriculum_search.trainers import Run
from curriculum_search.training.ema import Ema
from curriculum_search.training.randomness import StepRandom, derive_seed

MODEL = DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2)
EVALUATION = Evaluation(
    evaluators=(
        ValidationLoss(num_images=8, num_levels=10, num_intervals=5),
        Frechet(extractor=Pixels(num_components=4), num_samples=24),
    ),
    final_evaluators=(),
    sampler=DDIMSampler(num_steps=2),
    batch_size=8,
)


def train(run: Run) -> None:
    """Trains with the noise levels that the run gives."""
    data, process, batch_size = Digits(), DDPM(), run.batch_size
    images = data.load()
    torch.manual_seed(derive_seed(run.seed, "weights"))
    network = MODEL.build(channels=1, out_channels=1, resolution=8, conditions=images.conditions).to(run.device)
    ema = Ema(network, halflife_images=500_000, rampup_share=0.05)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=run.params["learning_rate"], betas=(0.9, 0.99), weight_decay=0.0
    )
    evaluation = EVALUATION.build(
        process=process, source=data, train_set=images, device=run.device, cache_dir=run.folder, encoder=PIXELS
    )
    random = StepRandom(
        seed=run.seed,
        batch_size=batch_size,
        noise_shards=8,
        rank=run.rank,
        world_size=run.world_size,
        device=run.device,
    )
    codec, sampler = PIXELS.load(run.device), run.quantiles()
    state = run.restore()
    seen = 0
    if state is not None:
        network.load_state_dict(state["network"])
        ema.network.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        seen = state["images"]
    forward: Any = network
    if run.world_size > 1:
        forward = torch.nn.parallel.DistributedDataParallel(network)
    order = DataOrder(len(images), run.seed)
    with Prefetcher(images, order, start=seen, batch_size=batch_size, own=random.local, device=run.device) as batches:
        while not run.should_stop:
            stored, condition = next(batches)
            torch.manual_seed(derive_seed(run.seed, "dropout", run.rank, seen))
            q = sampler.quantiles(len(stored), run.device)
            x = codec.encode(stored, None)
            noise = random.noise((1, 8, 8), seen)
            condition = condition.hide(random.uniforms("label", seen) < 0.1)
            losses = process.losses(forward, x, q, noise, condition)
            loss = (sampler.importance * losses).sum() / len(x)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            seen += batch_size
            ema.update(network, images_seen=seen, batch_size=batch_size)
            sampler.observe(losses.detach())
            if run.report_is_due:
                checkpoint = {
                    "network": network.state_dict(),
                    "ema": ema.network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "images": seen,
                }
                metrics = evaluation.metrics(ema.network, final=seen == run.total_images)
                run.report(images=seen, metrics=metrics, checkpoint=checkpoint)
        if run.images_seen < run.total_images:
            run.report(
                images=seen,
                checkpoint={
                    "network": network.state_dict(),
                    "ema": ema.network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "images": seen,
                },
            )
