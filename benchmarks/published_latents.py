"""Our network, losses and samplers on latents beside those of DiT and SiT: their code, the same weights and noise.

    python benchmarks/published_latents.py --dit DIR --sit DIR

DIR are clones of facebookresearch/DiT and willisma/SiT; they need ``pip install timm torchdiffeq``.  A small DiT and a
small SiT are trained for a moment on latents of the digits, by an autoencoder of diffusers with random weights.  Then
their code and ours get the same weights, latents, labels, times and noise, and each line says by how much they differ:
the largest difference over the root mean square of theirs, and of decoded images the largest number of grey levels and
the share of the pixels that are not the same.  Lines marked * differ by design; docs/how-to/latents.md says how.
"""

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from curriculum_search.conditions import ClassCondition, Classes, Condition
from curriculum_search.data import Digits
from curriculum_search.diffusion import (
    DDPM,
    DDIMSampler,
    DDPMSampler,
    EulerSampler,
    Flow,
    HeunSampler,
    Network,
    Process,
    Sampler,
    StridedDDIMSampler,
    guided,
)
from curriculum_search.models import DiT, sit_weights
from curriculum_search.models.encoders import VAE
from curriculum_search.models.encoders.vae import Autoencoder

CHANNELS, SIDE, CLASSES, SAMPLES, CFG = 4, 16, 10, 4, 4.0
WIDTH, DEPTH, HEADS, PATCH = 96, 3, 6, 2
FACTOR = 0.18215  # as both have it in their sample.py


def main() -> None:
    """Compare, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dit", type=Path, required=True, help="a clone of facebookresearch/DiT")
    parser.add_argument("--sit", type=Path, required=True, help="a clone of willisma/SiT")
    parser.add_argument("--steps", type=int, default=50, help="of each sampler but DiT's own, which takes 250")
    parser.add_argument("--training", type=int, default=200, help="steps of training")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        codec = autoencoder(Path(folder))
        latents, labels = encoded(codec)
        dit(arguments.dit, codec, latents, labels, arguments)
        sit(arguments.sit, Path(folder), codec, latents, labels, arguments)


def dit(clone: Path, codec: Autoencoder, latents: Tensor, labels: Tensor, arguments: argparse.Namespace) -> None:
    """DiT with learned variances: network, loss, guided samples of p_sample_loop and ddim_sample_loop."""
    models, diffusion = module(clone / "models.py"), module(clone / "diffusion" / "__init__.py")
    process = DDPM(learned_variance=True)
    ours = trained(process, latents, labels, arguments.training)
    theirs = models.DiT(**shape(), learn_sigma=True).eval()
    theirs.load_state_dict(ours.state_dict())
    generator = torch.Generator().manual_seed(2)
    noise = torch.randn(64, CHANNELS, SIDE, SIDE, generator=generator)
    t = torch.cat([torch.tensor([0, 1, 998, 999]), torch.randint(1000, (60,), generator=generator)])
    x, y = latents[:64], labels[:64]
    with torch.no_grad():
        line("DiT, network", ours(x, t.float(), ClassCondition.of(y)), theirs(x, t, y))
        published = diffusion.create_diffusion("").training_losses(theirs, x, t, {"y": y}, noise)["loss"]
        q = process.quantile(t).float()
        line("DiT, loss of each latent", process.losses(ours, x, q, noise, ClassCondition.of(y)), published)

    def all_channels(x: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        """Their forward_with_cfg with the line that its comment gives for guidance of all channels."""
        half = x[: len(x) // 2]
        eps, rest = theirs(torch.cat([half, half]), t, y).split(CHANNELS, dim=1)
        conditional, unconditional = eps.chunk(2)
        eps = unconditional + cfg_scale * (conditional - unconditional)
        return torch.cat([torch.cat([eps, eps]), rest], dim=1)

    def sampled(loop: str, respacing: str, network: Callable[..., Tensor]) -> Tensor:
        noise, y = start()
        with served(SAMPLES), torch.no_grad():
            run = getattr(diffusion.create_diffusion(respacing), loop)
            kwargs = {"y": torch.cat([y, torch.full_like(y, CLASSES)]), "cfg_scale": CFG}
            doubled = torch.cat([noise, noise])
            common = {"clip_denoised": False, "model_kwargs": kwargs, "device": noise.device}
            out: Tensor = run(network, doubled.shape, doubled, **common)
        return out[:SAMPLES]

    whole, three = guided(ours, CFG), first_three(ours)
    steps = str(arguments.steps)
    runs: list[tuple[str, Sampler, tuple[str, str]]] = [
        ("p_sample_loop, 250 steps", DDPMSampler(num_steps=250), ("p_sample_loop", "250")),
        (f"ddim_sample_loop, {steps} steps", DDIMSampler(num_steps=arguments.steps), ("ddim_sample_loop", steps)),
        (
            f"ddim_sample_loop, ddim{steps}",
            StridedDDIMSampler(num_steps=arguments.steps),
            ("ddim_sample_loop", f"ddim{steps}"),
        ),
    ]
    for name, sampler, loop in runs:
        with_all = sampled(*loop, all_channels)
        compare(f"DiT, {name}, all channels guided", codec, sample(sampler, process, whole), with_all)
    as_published = sampled(*runs[0][2], theirs.forward_with_cfg)
    name, sampler, _ = runs[0]
    compare(f"DiT, {name}, first three guided in both", codec, sample(sampler, process, three), as_published)
    compare(f"DiT, {name}, their three beside our four *", codec, sample(sampler, process, whole), as_published)


def sit(
    clone: Path,
    folder: Path,
    codec: Autoencoder,
    latents: Tensor,
    labels: Tensor,
    arguments: argparse.Namespace,
) -> None:
    """SiT with the linear path and the velocity: network, loss, guided samples of its ODE."""
    models, transport = module(clone / "models.py"), module(clone / "transport" / "__init__.py")
    process, path = Flow(), transport.create_transport("Linear", "velocity", None, None, None)
    theirs = models.SiT(**shape(), learn_sigma=True)
    optimised(theirs, lambda x, y: path.training_losses(theirs, x, {"y": y})["loss"], latents, labels, arguments)
    theirs.eval()
    torch.save({"ema": theirs.state_dict()}, folder / "sit.pt")
    ours = built(CHANNELS)
    ours.load_state_dict(sit_weights(folder / "sit.pt"))

    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(64, CHANNELS, SIDE, SIDE, generator=generator)
    t = torch.cat([torch.tensor([1e-3, 0.999]), torch.rand(62, generator=generator)])  # theirs: 1 is data
    x, y = latents[:64], labels[:64]
    with torch.no_grad():
        line("SiT, network", -ours(x, 1 - t, ClassCondition.of(y)), theirs(x, t, y))
        with mock.patch("torch.rand", return_value=t), mock.patch("torch.randn_like", return_value=noise):
            published = path.training_losses(theirs, x, {"y": y})["loss"]
        found = process.losses(ours, x, process.quantile(1 - t.double()).float(), noise, ClassCondition.of(y))
        line("SiT, loss of each latent", found, published)

    def sampled(method: str, points: int, network: Callable[..., Tensor], **span: float) -> Tensor:
        noise, y = start()
        kwargs = {"y": torch.cat([y, torch.full_like(y, CLASSES)]), "cfg_scale": CFG}
        with torch.no_grad():
            sampler = transport.Sampler(path).sample_ode(sampling_method=method, num_steps=points, **span)
            out: Tensor = sampler(torch.cat([noise, noise]), network, **kwargs)[-1]
        return out[:SAMPLES]

    def all_channels(x: Tensor, t: Tensor, y: Tensor, cfg_scale: float) -> Tensor:
        conditional, unconditional = theirs(torch.cat([x[: len(x) // 2]] * 2), t, y).chunk(2)
        velocity = unconditional + cfg_scale * (conditional - unconditional)
        return torch.cat([velocity, velocity])

    def last_by_euler(network: Callable[..., Tensor], steps: int) -> Tensor:
        """Their integrator by Heun's method up to the last step, and by Euler's in that."""
        integrator = sys.modules[f"{transport.__name__}.integrators"].ode
        noise, y = start()
        kwargs = {"y": torch.cat([y, torch.full_like(y, CLASSES)]), "cfg_scale": CFG}
        drift, before = path.get_drift(), 1 - 1 / steps
        common = {"atol": 1e-6, "rtol": 1e-3}
        with torch.no_grad():
            heun = integrator(drift, t0=0, t1=before, sampler_type="heun2", num_steps=steps, **common)
            x = heun.sample(torch.cat([noise, noise]), network, **kwargs)[-1]
            euler = integrator(drift, t0=before, t1=1, sampler_type="euler", num_steps=2, **common)
            out: Tensor = euler.sample(x, network, **kwargs)[-1]
        return out[:SAMPLES]

    steps, whole = arguments.steps, guided(ours, CFG)
    by_euler, by_heun = (
        sample(sampler, process, whole) for sampler in (EulerSampler(num_steps=steps), HeunSampler(num_steps=steps))
    )
    compare(
        f"SiT, euler, {steps} steps, all channels guided", codec, by_euler, sampled("euler", steps + 1, all_channels)
    )
    compare(
        f"SiT, euler, {steps} steps, first three guided in both",
        codec,
        sample(EulerSampler(num_steps=steps), process, first_three(ours)),
        sampled("euler", steps + 1, theirs.forward_with_cfg),
    )
    compare(f"SiT, heun, {steps} steps, the last by euler in both", codec, by_heun, last_by_euler(all_channels, steps))
    compare(f"SiT, heun2 in all {steps} steps *", codec, by_heun, sampled("heun2", steps + 1, all_channels))
    compare(f"SiT, euler, num_steps {steps} in both *", codec, by_euler, sampled("euler", steps, all_channels))


def first_three(network: nn.Module) -> Network:
    """Guidance of the first three channels alone, as in the published forward_with_cfg."""

    def both(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        out = guided(network, CFG)(x, time, condition)
        return torch.cat([out[:, :3], network(x, time, condition)[:, 3:]], dim=1)

    return both


def sample(sampler: Sampler, process: Process, network: Network) -> Tensor:
    """Our samples from the common start."""
    noise, y = start()
    return sampler.unclipped().sample(process, network, noise, ClassCondition.of(y), generators(SAMPLES))


def start() -> tuple[Tensor, Tensor]:
    """The noise and the labels that all samples come from."""
    noise = torch.randn(SAMPLES, CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
    return noise, torch.arange(SAMPLES) % CLASSES


def generators(count: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(100 + i) for i in range(count)]


@contextmanager
def served(count: int) -> Iterator[None]:
    """Within the block their `randn_like` draws for both halves of a guided batch what ours draws for each sample."""
    each = generators(count)

    def randn_like(x: Tensor, **_: Any) -> Tensor:
        noise = torch.stack([torch.randn(x.shape[1:], generator=generator) for generator in each])
        return torch.cat([noise, noise])

    with mock.patch("torch.randn_like", randn_like):
        yield


def shape() -> dict[str, Any]:
    return {
        "input_size": SIDE,
        "patch_size": PATCH,
        "in_channels": CHANNELS,
        "hidden_size": WIDTH,
        "depth": DEPTH,
        "num_heads": HEADS,
        "num_classes": CLASSES,
    }


def built(out_channels: int) -> nn.Module:
    config = DiT(patch_size=PATCH, hidden_size=WIDTH, depth=DEPTH, num_heads=HEADS)
    classes = Classes(np.arange(CLASSES))
    return config.build(channels=CHANNELS, out_channels=out_channels, resolution=SIDE, conditions=classes).eval()


def trained(process: Process, latents: Tensor, labels: Tensor, steps: int) -> nn.Module:
    """Our network after a short training with labels dropped, so that samples look like the latents."""
    torch.manual_seed(0)
    network = built(process.out_channels(CHANNELS))

    def losses(x: Tensor, y: Tensor) -> Tensor:
        condition = ClassCondition.of(y).hide(torch.rand(len(y)) < 0.1)
        return process.losses(network, x, torch.rand(len(x)), torch.randn_like(x), condition)

    optimised(network, losses, latents, labels, argparse.Namespace(training=steps))
    return network


def optimised(
    network: nn.Module,
    losses: Callable[[Tensor, Tensor], Tensor],
    latents: Tensor,
    labels: Tensor,
    arguments: argparse.Namespace,
) -> None:
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.0)
    for _ in range(arguments.training):
        rows = torch.randint(len(latents), (16,))
        losses(latents[rows], labels[rows]).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()


def autoencoder(folder: Path) -> Autoencoder:
    """Random weights, scaled so that latents have about the size that those of Stable Diffusion have, and images fill
    the range of pixels."""
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 16),
        latent_channels=CHANNELS,
        norm_num_groups=4,
        scaling_factor=FACTOR,
    )
    with torch.no_grad():
        images = pictures()[0][:64].float() / 127.5 - 1
        posterior = vae.encode(images).latent_dist
        vae.quant_conv.weight[:CHANNELS] /= posterior.mean.std() * FACTOR
        vae.quant_conv.bias[:CHANNELS] = 0
        decoded = vae.decode(torch.randn(16, CHANNELS, SIDE, SIDE) / FACTOR).sample
        vae.decoder.conv_out.weight *= 0.5 / decoded.std()
    vae.save_pretrained(folder / "vae")
    return VAE(path=str(folder / "vae")).load(torch.device("cpu"))


def pictures() -> tuple[Tensor, Tensor]:
    """The digits in colour at twice the latents' resolution, uint8 [N, 3, 2 SIDE, 2 SIDE], and their classes."""
    data = Digits().load()
    rows = np.arange(256)
    images, condition = data.read(rows)
    assert isinstance(condition, ClassCondition)
    grown = images.repeat_interleave(2 * SIDE // 8, -1).repeat_interleave(2 * SIDE // 8, -2)
    return grown.expand(-1, 3, -1, -1), condition.labels


def encoded(codec: Autoencoder) -> tuple[Tensor, Tensor]:
    """Latents of the digits, which are compared with those of their train.py on the way."""
    images, labels = pictures()
    noise = torch.randn(len(images), CHANNELS, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    ours = codec.encode(images, noise)
    with torch.no_grad():
        posterior = codec._autoencoder.encode(images.float() / 127.5 - 1).latent_dist
        theirs = posterior.sample(torch.Generator().manual_seed(1)).mul_(FACTOR)
    line("latents of images", ours, theirs)
    return ours, labels


def compare(name: str, codec: Autoencoder, ours: Tensor, theirs: Tensor) -> None:
    """A line for latents, and what is different once they are decoded: by theirs as in sample_ddp.py."""
    images = codec.decode(ours).images
    with torch.no_grad():
        decoded = codec._autoencoder.decode(theirs / FACTOR).sample
    published = torch.clamp(127.5 * decoded + 128.0, 0, 255).to(torch.uint8)
    apart = (images.int() - published.int()).abs()
    line(name, ours, theirs, f"   decoded: {apart.max():3d} levels, {(apart > 0).float().mean():.2e} of the pixels")


def line(name: str, ours: Tensor, theirs: Tensor, more: str = "") -> None:
    difference = (ours - theirs).abs().max() / theirs.square().mean().sqrt()
    print(f"{name:<62} {difference:.1e}{more}", flush=True)


def module(path: Path) -> ModuleType:
    """A module or package of a clone, under a name of its own: both have one called models."""
    name = "_".join(("published", path.parent.name if path.stem == "__init__" else path.stem, path.parts[-2])).lower()
    inner = [str(path.parent)] if path.stem == "__init__" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=inner)
    if spec is None or spec.loader is None or not path.exists():
        raise SystemExit(f"{path} does not exist: is {path.parent} a clone of the published code?")
    found = importlib.util.module_from_spec(spec)
    sys.modules[name] = found
    spec.loader.exec_module(found)
    return found


if __name__ == "__main__":
    main()
