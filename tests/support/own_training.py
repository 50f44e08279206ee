"""Training code as users write it: what the study in miniature trains, written as a function of one's own."""

from pathlib import Path

#: The native loop's training of `runner.tiny_experiment` and of `workplace.STUDY`, step by step.
SAME_AS_NATIVE = """
import copy

import torch

from curriculum_search.data import DataOrder, Digits, Prefetcher
from curriculum_search.diffusion import DDPM, DDIMSampler
from curriculum_search.evaluation import Evaluation, Frechet, Pixels, ValidationLoss
from curriculum_search.models import DiT
from curriculum_search.models.encoders import PIXELS
from curriculum_search.training.ema import Ema
from curriculum_search.training.randomness import StepRandom, derive_seed


def train(run):
    data, process, batch_size = Digits(), DDPM(), run.batch_size
    images = data.load()
    torch.manual_seed(derive_seed(run.seed, "weights"))
    model = DiT(patch_size=4, hidden_size=16, depth=1, num_heads=2)
    network = model.build(channels=1, out_channels=1, resolution=8, conditions=images.conditions).to(run.device)
    ema = Ema(network, halflife_images=500_000, rampup_share=0.05)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=run.params["learning_rate"], betas=(0.9, 0.99), weight_decay=0.0
    )
    settings = Evaluation(
        evaluators=(
            ValidationLoss(num_images=8, num_levels=10, num_intervals=5),
            Frechet(extractor=Pixels(num_components=4), num_samples=24),
        ),
        final_evaluators=(),
        sampler=DDIMSampler(num_steps=2),
        batch_size=8,
    )
    evaluation = settings.build(
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
    forward = network
    if run.world_size > 1:
        forward = torch.nn.parallel.DistributedDataParallel(network)
    order = DataOrder(len(images), run.seed)
    with Prefetcher(
        images, order, start=seen, batch_size=batch_size, own=random.local, device=run.device
    ) as batches:
        while not run.should_stop:
            stored, condition = next(batches)
            torch.manual_seed(derive_seed(run.seed, "dropout", run.rank, seen))
            q = sampler.quantiles(len(stored), run.device)
            x = codec.encode(stored, None)
            noise = random.noise((1, 8, 8), seen)
            condition = condition.hide(random.uniforms("label", seen) < 0.1)
            losses = process.losses(forward, x, q, noise, condition)
            loss = (sampler.importance * losses).sum() / len(x)
            loss.backward()
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
"""

#: A function that trains nothing but does all that a study needs, for what is asked of the handle alone.
NOTHING = """
def train(run):
    sampler = run.quantiles()
    run.restore()
    while not run.should_stop:
        q = sampler.quantiles(run.batch_size // run.world_size, run.device)
        sampler.observe(q + 1)
        if run.report_is_due:
            run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})
"""

#: A study of such code, for `write_own`.
OWN_STUDY = """
study:
  name: own
  objective: score
  trials: 2
  stopping: {kind: none}
  baselines: [no_curriculum, published]
  confirmation: {min_seeds: 2, max_seeds: 2}
base:
  trainer: {kind: function, path: my_training.py, metrics: {score: minimize}}
  process: {kind: flow}
  training: {total_images: 320, batch_size: 16, num_evaluations: 4}
space:
  curriculum.order.kind: {kind: categorical, choices: [easy_to_hard, none]}
"""


def write_own(folder: Path, code: str, study: str = OWN_STUDY) -> Path:
    """Write training code and a study of it; the study's path."""
    (folder / "my_training.py").write_text(code)
    (folder / "own.yaml").write_text(study)
    return folder / "own.yaml"


#: `NOTHING` as a program, which reports through the handle.
PROGRAM = """
import argparse

from curriculum_search.trainers import connect

parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float, default=0.0)
parser.add_argument("--fast", action="store_true")
args = parser.parse_args()

run = connect()
sampler = run.quantiles()
run.restore()
while not run.should_stop:
    q = sampler.quantiles(run.batch_size, run.device)
    sampler.observe(q + 1)
    if run.report_is_due:
        run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})
"""

#: The same as a program that prints its metrics.
PRINTING = PROGRAM.replace(
    'run.report(images=run.images_seen, metrics={"score": float(q.mean())}, checkpoint={"a": 1})',
    'print(json.dumps({"images": run.images_seen, "score": float(q.mean())}))',
).replace("import argparse\n", "import argparse\nimport json\n")
