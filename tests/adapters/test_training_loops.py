"""The lines of docs/how-to/adapters.md, in loops of the form of the codebases that they are for."""

import importlib
import math
import pickle
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import torch.distributed as dist
from adapters.loops.common import Run
from torch import Tensor

from curriculum_search.adapters import CurriculumAdapter, ScheduleSampler
from curriculum_search.curriculum import Curriculum, Linear, Moving, NoOrder, Plateau, Reason, Step, UniformPartition
from curriculum_search.diffusion import (
    DDPM,
    EDM,
    Density,
    Flow,
    Laplace,
    LearnedWeighting,
    LogNormal,
    LossSecondMoment,
    NoWeighting,
    Process,
    Uncertainty,
    Uniform,
)

HERE = Path(__file__).parent
LOOPS: dict[str, Process] = {
    "improved_diffusion": DDPM(),
    "dit": DDPM(),
    "edm": EDM(),
    "edm2": EDM(),
    "sit": Flow(),
    "diffusers_ddpm": DDPM(),
    "repa": Flow(),
    "lightning_dit": Flow(),
    "flow_matching": Flow(),
    "k_diffusion": EDM(),
    "diffusers_text_to_image": DDPM(),
    "diffusers_flow": Flow(),
    "diffusers_sigmas": Flow(),
}
WITH_A_DENSITY = ["edm2", "lightning_dit", "flow_matching", "k_diffusion"]  # in their lines
BATCH, STEPS = 50, 40  # of loops/common.py


@pytest.fixture(autouse=True)
def _a_script_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def loop(name: str) -> Any:
    return importlib.import_module(f"adapters.loops.{name}")


def searched(
    process: Process, *, density: Density | None = None, weighting: LearnedWeighting | None = None, **fields: Any
) -> None:
    """A curriculum.json of a search of 640 images, which is not what the loops train."""
    four = {"num_clusters": 4, "partition": UniformPartition(), "pacing": Linear(end_share=0.5)}
    curriculum = Curriculum(**{**four, **fields})
    file = curriculum.resolve(process, density or Uniform(), 640, 64)
    replace(file, weighting=weighting).save("curriculum.json")


def shown(name: str) -> str:
    """What the page has to show of a loop: its marked lines, each group under the words of its mark."""
    groups = []
    for file in [f"{name}.py", f"{name}_loss.py"]:
        if (HERE / "loops" / file).exists():
            source = (HERE / "loops" / file).read_text()
            for where, lines in re.findall(r"^ *# \[docs\] (.*?)\n(.*?)^ *# \[/docs\]$", source, re.M | re.S):
                groups.append(f"# {where}\n{textwrap.dedent(lines)}")
    return "\n".join(groups)


@pytest.mark.parametrize("name", [*LOOPS, "learned_weights"])
def test_the_page_shows_the_lines_that_are_tested_here(name: str) -> None:
    assert f"```python\n{shown(name)}```\n" in (HERE.parents[1] / "docs/how-to/adapters.md").read_text()


@pytest.mark.parametrize("name", LOOPS)
def test_the_curriculum_has_the_budget_of_the_training_and_ends_as_ordinary_training(name: str) -> None:
    searched(LOOPS[name])
    run = loop(name).train(stop=STEPS, resume=False)
    assert run.curriculum.total_images == run.curriculum.images_seen == STEPS * BATCH
    # A stage begins with the draw after an eighth of the budget, 250 images, has been passed.
    draws = len(run.levels) // STEPS
    images = [switch.images for switch in run.curriculum.history]
    assert images == ([0, 300, 550, 800] if draws == 1 else [0, 275, 525, 775])
    assert all(loss == pytest.approx(plain) for loss, plain in run.losses)


@pytest.mark.parametrize("name", LOOPS)
def test_a_training_that_was_stopped_goes_on_as_if_it_never_was(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Plateau(patience_share=0.05, max_stage_share=1.0, end_share=0.9, window_steps=3)
    runs = []
    for stops in ([STEPS], [17, STEPS]):
        folder = tmp_path / f"{len(stops)}"
        folder.mkdir()
        monkeypatch.chdir(folder)
        searched(LOOPS[name], num_clusters=8, pacing=gate)
        runs += [loop(name).train(stop=stop, resume=stop != stops[0]) for stop in stops]
    whole, first, second = runs
    assert len(first.levels) + len(second.levels) == len(whole.levels)
    for ours, theirs in zip(whole.levels, first.levels + second.levels, strict=True):
        assert torch.equal(ours, theirs)
    assert second.curriculum.history == whole.curriculum.history
    assert Reason.PLATEAU in {switch.reason for switch in whole.curriculum.history}


@pytest.mark.parametrize("name", LOOPS)
def test_without_the_line_that_observes_a_gate_says_so(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    searched(LOOPS[name], pacing=Plateau(max_stage_share=0.05))
    for method in ("observe", "update_with_local_losses"):
        monkeypatch.setattr(ScheduleSampler, method, lambda *_: None)
    monkeypatch.setattr(CurriculumAdapter, "observe", lambda *_: None)
    with pytest.raises(ValueError, match="steps had one: pass every step's losses to observe"):
        loop(name).train(stop=STEPS, resume=False)


@pytest.mark.parametrize("name", sorted(LOOPS.keys() - {*WITH_A_DENSITY, "diffusers_flow"}))
def test_an_adaptive_density_hears_the_losses_and_its_weights_are_in_the_loss(name: str) -> None:
    searched(LOOPS[name], density=LossSecondMoment(num_bins=2, history=2), num_clusters=2)
    run = loop(name).train(stop=STEPS, resume=False)
    assert (run.curriculum.importance != 1).any()
    assert run.losses[-1][0] != pytest.approx(run.losses[-1][1])


def test_a_curriculum_of_another_number_of_timesteps_covers_all_of_improved_diffusions() -> None:
    searched(DDPM(num_timesteps=1000))
    run = loop("improved_diffusion").train(stop=STEPS, resume=False)
    first, last = torch.cat(run.levels[:10]), torch.cat(run.levels[40:])
    assert first.min() >= 3000
    assert last.min() < 100 < 3900 < last.max()


def test_edm_and_edm2_can_be_told_not_to_draw_as_the_search_did() -> None:
    searched(EDM())
    for name, mean, std in (("edm", -1.2, 1.2), ("edm2", -0.4, 1.0)):
        run = loop(name).train(stop=STEPS, resume=False)
        log_sigma = torch.cat(run.levels[20:]).log().numpy()
        assert scipy.stats.kstest(log_sigma, scipy.stats.norm(mean, std).cdf).pvalue > 1e-3


def test_diffusers_flow_matching_ends_as_its_script_draws() -> None:
    searched(Flow())
    run = loop("diffusers_flow").train(stop=STEPS, resume=False)
    args = loop("diffusers_flow").ARGS
    u = scipy.stats.norm(args.logit_mean, args.logit_std).rvs(100_000, random_state=0)
    share = 1 - 1 / (1 + np.exp(-u))  # the scripts count from noise to data
    theirs = 3 * share / (1 + 2 * share)
    assert scipy.stats.ks_2samp(torch.cat(run.levels[20:]).numpy(), theirs).pvalue > 1e-3
    assert torch.cat(run.levels[:5]).min() >= 0.75


# What those that have their own count of noise levels draw without a curriculum, and on which axis.
OWN_LEVELS: dict[str, tuple[Any, Callable[[Tensor], Tensor]]] = {
    "sit": (scipy.stats.uniform(), lambda t: 1 - t),  # data at 1
    "repa": (scipy.stats.uniform(), lambda t: t),
    "lightning_dit": (scipy.stats.norm(), lambda t: torch.logit(1 - t)),
    "flow_matching": (scipy.stats.norm(-1.2, 1.2), lambda t: torch.logit(1 - t)),  # ln sigma
    "k_diffusion": (scipy.stats.norm(-1.2, 1.2), torch.log),
}


@pytest.mark.parametrize("name", OWN_LEVELS)
def test_each_codebase_gets_levels_as_it_counts_them(name: str) -> None:
    ordinary, noise = OWN_LEVELS[name]
    searched(LOOPS[name])
    run = loop(name).train(stop=STEPS, resume=False)
    levels = [noise(level) for level in run.levels]
    edge = {"sit": 0.75, "repa": 0.75, "k_diffusion": math.log(EDM().level(torch.tensor(0.75)))}
    assert torch.cat(levels[:5]).min() >= edge.get(name, math.log(3)) - 1e-5
    assert scipy.stats.kstest(torch.cat(levels[20:]).numpy(), ordinary.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", sorted(OWN_LEVELS.keys() - {"k_diffusion"}))
def test_the_shift_of_a_search_is_in_their_levels(name: str) -> None:
    searched(Flow(shift=3.0))
    run = loop(name).train(stop=STEPS, resume=False)
    share = torch.cat(run.levels[:5]) if name == "repa" else 1 - torch.cat(run.levels[:5])
    assert share.min() >= 0.9 - 1e-6  # 3 q / (1 + 2 q) of the noisiest quarter of q


DENSITIES_OF_A_SEARCH = {
    "laplace": Laplace(mean=-1.0, scale=0.7),
    "moving": Moving(start=LogNormal(mean=-2.0, std=0.3), pacing=Step(end_share=0.5)),
    "follows": LossSecondMoment(num_bins=2, history=2),
}


@pytest.mark.parametrize("density", DENSITIES_OF_A_SEARCH.values(), ids=DENSITIES_OF_A_SEARCH)
@pytest.mark.parametrize("name", WITH_A_DENSITY)
def test_a_density_of_the_search_is_drawn_where_the_line_with_density_is_left_away(name: str, density: Density) -> None:
    searched(LOOPS[name], density=density, order=NoOrder())
    with pytest.raises(ValueError, match="another cannot take its place, so leave density= away"):
        loop(name).train(stop=STEPS, resume=False)
    source = (HERE / "loops" / f"{name}.py").read_text()
    without, count = re.subn(r"^ *density=.*\n", "", source, flags=re.M)
    assert count == 1
    module = ModuleType(f"adapters.loops.{name}_without_density")
    exec(without, vars(module))
    assert_drawn(name, module.train(stop=STEPS, resume=False), density)


@pytest.mark.parametrize("density", DENSITIES_OF_A_SEARCH.values(), ids=DENSITIES_OF_A_SEARCH)
def test_diffusers_sigmas_draws_a_density_of_the_search(density: Density) -> None:
    searched(Flow(), density=density, order=NoOrder())
    assert_drawn("diffusers_sigmas", loop("diffusers_sigmas").train(stop=STEPS, resume=False), density)


def assert_drawn(name: str, run: Run, density: Density) -> None:
    """That `density` is what a run of a loop has drawn from."""
    if density.adaptive:
        assert (run.curriculum.importance != 1).any()
        return
    process = LOOPS[name]
    parts = [(run.levels[20:], density)]
    if isinstance(density, Moving):
        parts = [(run.levels[:20], density.start), (run.levels[21:], density.end)]
    for drawn, base in parts:
        levels = torch.cat(drawn).double()
        q = process.quantile(1 - levels if name in ("lightning_dit", "flow_matching") else levels)
        assert scipy.stats.kstest(q.numpy(), base.piecewise(process).cdf_at).pvalue > 1e-3


def test_k_diffusion_s_losses_are_observed_as_those_of_the_clean_image(monkeypatch: pytest.MonkeyPatch) -> None:
    searched(EDM())
    module, observed, expected = loop("k_diffusion"), [], []
    loss = module.Denoiser.loss

    def recording(self: Any, reals: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        losses: Tensor = loss(self, reals, noise, sigma)
        expected.append((self.denoised - reals).square().flatten(1).mean(1).detach())
        return losses

    monkeypatch.setattr(module.Denoiser, "loss", recording)
    monkeypatch.setattr(CurriculumAdapter, "observe", lambda self, losses: observed.append(losses.detach()))
    module.train(stop=5, resume=False)
    torch.testing.assert_close(torch.cat(observed), torch.cat(expected))


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_text_to_images_min_snr_weights_are_in_the_loss_and_not_in_what_is_observed(
    prediction_type: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched(DDPM())
    module, observed = loop("diffusers_text_to_image"), []
    monkeypatch.setattr(module.ARGS, "snr_gamma", 5.0)
    monkeypatch.setattr(module.ARGS, "prediction_type", prediction_type)
    monkeypatch.setattr(CurriculumAdapter, "observe", lambda self, losses: observed.append(losses.mean().item()))
    run = module.train(stop=5, resume=False)
    assert observed == [plain for _, plain in run.losses]
    assert all(0 < loss < plain for loss, plain in run.losses) == (prediction_type == "v_prediction")


def test_learned_weights_follow_the_losses_and_a_training_that_was_stopped_goes_on_with_them() -> None:
    searched(Flow(), weighting=Uncertainty(base=NoWeighting(), channels=16))
    losses = []
    for stops in ([STEPS], [17, STEPS]):
        for path in Path.cwd().glob("*.pt"):
            path.unlink()
        losses.append(
            [
                loss
                for stop in stops
                for loss in loop("learned_weights").train(stop=stop, resume=stop != stops[0]).losses
            ]
        )
    whole, in_parts = losses
    assert whole == in_parts
    first, last = (torch.load(f"{step:07d}.pt")["weights"]["learned.weight"] for step in (17, STEPS))
    assert (first - last).abs().max() > 0.05


READ_A_SNAPSHOT = """
import pickle, sys
sys.modules["curriculum_search"] = None  # an import of it fails, as where it is not installed
sys.path.insert(0, sys.argv[1])
with open(sys.argv[2], "rb") as file:
    loss_fn = pickle.load(file)["loss_fn"]
print(loss_fn.sigma_data, getattr(loss_fn, "curriculum", {}).get("images_seen"))
"""


@pytest.mark.parametrize("kept_in_the_loss", [False, True])
def test_edm_s_snapshots_are_read_where_this_package_is_not(kept_in_the_loss: bool) -> None:
    searched(EDM())
    snapshot = Path("network-snapshot-000005.pkl")
    run = loop("edm").train(stop=5, resume=False)
    if kept_in_the_loss:
        data = pickle.loads(snapshot.read_bytes())
        data["loss_fn"].curriculum = run.curriculum
        snapshot.write_bytes(pickle.dumps(data))
    command = [sys.executable, "-c", READ_A_SNAPSHOT, str(HERE.parent), str(snapshot)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == (f"0.5 {250 if kept_in_the_loss else None}\n", "")
