"""Golden learning curves: a change of the code that is not meant to change training changes no digit of them.

One small run per noise process is committed in ``golden/`` with every value that it reported.  Float sums round
differently on different kinds of processor, so each file also has a probe, the digest of a few operations as this
machine rounds them: where the probe is the same, every digit has to be; elsewhere the curves have to agree as far as
rounding lets them.  Where a change of the numbers is meant::

    python tests/training/test_golden_curves.py
"""

import hashlib
import json
import math
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from curriculum_search.curriculum import Curriculum, Linear, Plateau, RandomOrder, Replay, Root
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    DDIMSampler,
    EDMWeighting,
    Flow,
    HeunSampler,
    LogitNormal,
    LossSecondMoment,
    MinSNR,
    PiecewiseDensity,
    Uncertainty,
)
from curriculum_search.evaluation import Evaluation, Frechet, Pixels, ValidationLoss
from curriculum_search.experiment import Experiment, Training
from curriculum_search.models import DiT
from curriculum_search.training import PlainSession, train

FOLDER = Path(__file__).parent / "golden"
#: What depends on how fast the machine is.
TIMES = {"images_per_second", "train_seconds"}

_MODEL = DiT(patch_size=4, hidden_size=32, depth=2, num_heads=2)
_TRAINING = Training(
    total_images=640, batch_size=16, microbatch_size=8, num_evaluations=4, warmup_images=64, decay="cosine"
)


def _evaluation(sampler: Any) -> Evaluation:
    return Evaluation(
        evaluators=(
            ValidationLoss(num_images=16, num_levels=10, num_intervals=5),
            Frechet(extractor=Pixels(num_components=4), num_samples=32),
        ),
        final_evaluators=(Frechet(extractor=Pixels(num_components=8), num_samples=48),),
        sampler=sampler,
        batch_size=16,
        grid_images=4,
    )


EXPERIMENTS = {
    "ddpm": Experiment(
        process=DDPM(),
        weighting=MinSNR(),
        model=_MODEL,
        curriculum=Curriculum(
            num_clusters=6, pacing=Plateau(patience_share=0.05, window_steps=2, end_share=0.7), reset_ema=True
        ),
        training=_TRAINING,
        evaluation=_evaluation(DDIMSampler(num_steps=4)),
    ),
    "edm": Experiment(
        process=EDM(),
        weighting=EDMWeighting(),
        model=_MODEL,
        curriculum=Curriculum(
            num_clusters=5,
            order=RandomOrder(seed=3),
            accumulation=Replay(share=0.3),
            pacing=Plateau(gate="bank", patience_share=0.1, checks_per_patience=2, max_stage_share=0.2),
        ),
        training=_TRAINING,
        evaluation=_evaluation(HeunSampler(num_steps=3)),
    ),
    "flow": Experiment(
        process=Flow(),
        density=LogitNormal(),
        model=_MODEL,
        curriculum=Curriculum(num_clusters=4, union_density="equal", pacing=Root(end_share=0.6)),
        training=_TRAINING,
        evaluation=_evaluation(HeunSampler(num_steps=3)),
        seed=1,
    ),
    "no_curriculum": Experiment(
        model=_MODEL,
        curriculum=Curriculum(num_clusters=1, pacing=Linear()),
        training=_TRAINING,
        evaluation=_evaluation(DDIMSampler(num_steps=4)),
    ),
    "uncertainty": Experiment(
        process=EDM(),
        weighting=Uncertainty(),
        density=LossSecondMoment(history=4, num_bins=8),
        model=_MODEL,
        curriculum=Curriculum(num_clusters=1, pacing=Linear()),
        training=_TRAINING,
        evaluation=_evaluation(HeunSampler(num_steps=3)),
    ),
}


def probe() -> str:
    """The digest of what this machine makes of a few float operations, as they stand in a training step."""
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(64, 96, generator=generator) for _ in range(2))
    scores = torch.softmax(a @ b.T, dim=1)
    values = [
        a @ b.T,
        scores @ b,
        torch.nn.functional.layer_norm(a, (96,)),
        torch.nn.functional.gelu(a, approximate="tanh"),
        a.exp().sum(dim=1),
        (a.double() @ b.double().T).sum(dim=0),
        torch.linalg.eigvalsh((a @ a.T).double()),
        torch.nn.functional.scaled_dot_product_attention(a[None, None], b[None, None], a[None, None]),
    ]
    for batch_size in (8, 16, 160):  # of training, of samples, of the validation loss
        values += _transformer_step(batch_size, generator)
    values += _functions()
    digest = hashlib.sha256(torch.__version__.encode())
    for value in values:
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _transformer_step(batch_size: int, generator: torch.Generator) -> list[torch.Tensor]:
    """The output and the gradients of a block as large as the runs', made of functions of PyTorch alone.

    Its libraries pick kernels by processor and by shape: convolutions are oneDNN's, products of matrices MKL's.
    """
    shapes = {
        "patch": (32, 1, 4, 4),
        "qkv": (96, 32),
        "up": (128, 32),
        "down": (32, 128),
        "last": (16, 32),
        "bias": (32,),
    }
    weights = {name: torch.randn(shape, generator=generator) / 8 for name, shape in shapes.items()}
    for weight in weights.values():
        weight.requires_grad_()
    images = torch.randn(batch_size, 1, 8, 8, generator=generator)
    tokens = F.conv2d(images, weights["patch"], weights["bias"], stride=4).flatten(2).transpose(1, 2)
    q, k, v = F.linear(F.layer_norm(tokens, (32,)), weights["qkv"]).view(batch_size, 4, 3, 2, 16).permute(2, 0, 3, 1, 4)
    tokens = tokens + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch_size, 4, 32)
    tokens = tokens + F.linear(
        F.gelu(F.linear(F.silu(tokens), weights["up"]), approximate="tanh"), weights["down"], weights["bias"]
    )
    output = F.linear(tokens, weights["last"])
    return [output.detach(), *torch.autograd.grad(output.square().mean(), list(weights.values()))]


def _functions() -> list[torch.Tensor]:
    """Functions of one number, as NumPy, PyTorch and the C library have them."""
    x = np.arange(1, 2_000) / 2_000
    arrays = [np.exp(-9 * x), np.log(x), np.log1p(-x), np.cos(9 * x), x**2.2, np.logaddexp(0, 9 * x - 4), np.tanh(x)]
    arrays += [np.array([f(value) for value in x]) for f in (math.exp, math.log, math.sin, math.expm1, math.sqrt)]
    values = [torch.from_numpy(array) for array in arrays]
    for z in (torch.from_numpy(x), torch.from_numpy(x).float()):
        values += [z.exp(), z.log(), z.log1p(), z.cos(), z.sigmoid(), torch.erfc(z), torch.special.ndtri(z)]
    return values


def curve(experiment: Experiment, folder: Path) -> list[dict[str, Any]]:
    """All that a run reports, but for times."""
    torch.set_num_threads(1)
    session = PlainSession(run_dir=folder, device=torch.device("cpu"))
    train(experiment, session, folder / "cache")
    return [
        {
            "images": report.images,
            "metrics": {name: value for name, value in report.metrics.items() if name not in TIMES},
            "switches": [dict(switch) for switch in report.switches],
            "exposure": _coarse(report.exposure),
        }
        for report in session.reports
    ]


def _coarse(exposure: Any) -> list[float]:
    """The distribution function at sixteenths of q."""
    if not exposure:
        return []
    return PiecewiseDensity.from_masses(exposure["edges"], exposure["mass"]).cdf_at(np.arange(1, 16) / 16).tolist()  # type: ignore[no-any-return]


def assert_close(found: Any, expected: Any, where: str) -> None:
    """The same but for rounding, which a few dozen steps have carried on."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for name in expected:
            assert_close(found[name], expected[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for i, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            assert_close(ours, theirs, f"{where}[{i}]")
    elif isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=2e-3, abs_tol=1e-6), f"{where}: {found}, not {expected}"
    else:
        assert found == expected, where


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_learns_as_it_always_did(name: str, tmp_path: Path) -> None:
    golden = json.loads((FOLDER / f"{name}.json").read_text())
    torch.set_num_threads(1)
    found = json.loads(json.dumps(curve(EXPERIMENTS[name], tmp_path)))
    if golden["probe"] == probe():
        assert found == golden["curve"]
    else:
        assert_close(found, golden["curve"], name)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_run_has_the_identity_that_it_always_had(name: str) -> None:
    assert EXPERIMENTS[name].identity() == json.loads((FOLDER / f"{name}.json").read_text())["identity"]


def record() -> None:
    """Write the golden files anew."""
    torch.set_num_threads(1)
    for name, experiment in EXPERIMENTS.items():
        with tempfile.TemporaryDirectory() as folder:
            content = {"identity": experiment.identity(), "probe": probe(), "curve": curve(experiment, Path(folder))}
        (FOLDER / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    record()
