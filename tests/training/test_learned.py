"""What is learned of a weighting, alone and in runs: nothing else of a run sees it."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest
import torch
from support.runner import Make, Runner
from torch import Tensor, nn

from curriculum_search.curriculum import Curriculum, NoOrder, Plateau
from curriculum_search.diffusion import LearnedWeighting, LossSecondMoment, NoWeighting, Process, Uncertainty
from curriculum_search.experiment import Training
from curriculum_search.training import CHECKPOINT, PlainSession, Report, checkpoint
from curriculum_search.training.learned import Learned

CPU = torch.device("cpu")
GATED = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=2))


def learned(seed: int = 0, **fields: Any) -> Learned:
    return Learned(Uncertainty(), Training(**fields), seed=seed, device=CPU)


def trained(part: Learned, steps: range) -> Learned:
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        losses, log_snr = torch.rand(16, generator=generator), 4 * torch.randn(16, generator=generator)
        part.objective(losses, log_snr).mean().backward()  # type: ignore[no-untyped-call]
        part.step(1.0)
    return part


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def test_a_step_is_adamws_at_the_schedules_share_of_its_own_rate_without_decay() -> None:
    part = learned(betas=(0.8, 0.95), weight_decay=0.5, learning_rate=3e-4)
    by_hand = Uncertainty().build(torch.Generator())
    by_hand.load_state_dict(part.module.state_dict())
    optimizer = torch.optim.AdamW(by_hand.parameters(), lr=0.01 * 0.25, betas=(0.8, 0.95), weight_decay=0.0)
    for step in range(3):
        losses, log_snr = torch.rand(16), torch.randn(16)
        part.objective(losses, log_snr).mean().backward()  # type: ignore[no-untyped-call]
        part.step(0.25)
        by_hand(losses, log_snr).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        assert same(part.module.state_dict(), by_hand.state_dict()), step


def test_what_is_saved_and_restored_goes_on_alike() -> None:
    whole = trained(learned(), range(6))
    half, other = trained(learned(), range(3)), learned(seed=1)
    assert not same(other.state_dict(), half.state_dict())
    other.load_state_dict(half.state_dict())
    assert same(trained(other, range(3, 6)).state_dict(), whole.state_dict())


def test_a_run_that_is_left_and_resumed_is_the_undisturbed_one_to_the_bit(tiny: Make, runner: Runner) -> None:
    class Halt(Exception):  # noqa: N818
        pass

    class Halts(PlainSession):
        def report(self, report: Report) -> None:
            if report.images == 160:
                raise Halt

    experiment = tiny(weighting=Uncertainty(), density=LossSecondMoment(history=1, num_bins=4), curriculum=Curriculum())
    runner(experiment)
    expected, whole = runner.curve(), checkpoint.load(runner.session.run_dir / CHECKPOINT)
    run_dir = runner.folder / "left"
    run_dir.mkdir()
    with pytest.raises(Halt):
        runner(experiment, Halts(run_dir=run_dir, device=CPU))
    assert not same(checkpoint.load(run_dir / CHECKPOINT)["weighting"], whole["weighting"])
    runner(experiment, PlainSession(run_dir=run_dir, device=CPU))
    assert runner.curve() == expected
    assert same(checkpoint.load(run_dir / CHECKPOINT)["weighting"], whole["weighting"])


@pytest.mark.parametrize(
    "fields",
    [
        {"curriculum": GATED},
        {"density": LossSecondMoment(history=1, num_bins=4), "curriculum": Curriculum(order=NoOrder())},
    ],
    ids=["plateau", "adaptive density"],
)
def test_what_is_reported_and_what_curricula_follow_is_the_loss_without_it(
    tiny: Make, runner: Runner, fields: dict[str, Any]
) -> None:
    """A network that stands still has the same losses however they are weighted."""
    still = {"training": {"learning_rate": 1e-30}, **fields}
    found = []
    for weighting in (NoWeighting(), Uncertainty()):
        result = runner(tiny(weighting=weighting, **still))
        found.append((runner.curve(), [report.switches for report in runner.session.reports], result.exposure))
    assert found[0] == found[1]
    state = checkpoint.load(runner.session.run_dir / CHECKPOINT)
    before = Learned(Uncertainty(), Training(), seed=0, device=CPU).state_dict()
    assert not torch.equal(state["weighting"]["module"]["weight"], before["module"]["weight"])


def test_it_changes_what_a_network_learns_and_is_no_part_of_the_weights(tiny: Make, runner: Runner) -> None:
    runner(tiny(weighting=Uncertainty().base))
    fixed, plain = runner.curve(), checkpoint.load(runner.session.run_dir / CHECKPOINT)
    runner(tiny(weighting=Uncertainty()))
    state = checkpoint.load(runner.session.run_dir / CHECKPOINT)
    assert runner.curve() != fixed
    assert "weighting" not in plain
    assert state.keys() - plain.keys() == {"weighting"}
    for part in ("network", "ema"):
        assert state[part].keys() == plain[part].keys()


@pytest.mark.parametrize("size", [3, 8])
def test_microbatches_train_the_same_to_rounding(tiny: Make, runner: Runner, size: int) -> None:
    weights = []
    for microbatch_size in (None, size):
        runner(tiny(weighting=Uncertainty(), training={"microbatch_size": microbatch_size}))
        weights.append(checkpoint.load(runner.session.run_dir / CHECKPOINT)["weighting"]["module"]["weight"])
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-4, atol=1e-5)


def test_bfloat16_learns_it_in_float32(tiny: Make, runner: Runner) -> None:
    runner(tiny(weighting=Uncertainty(), training={"precision": "bfloat16"}))
    module = checkpoint.load(runner.session.run_dir / CHECKPOINT)["weighting"]["module"]
    assert {value.dtype for value in module.values()} == {torch.float32}


def test_a_learned_weighting_of_ones_own_is_one_class(
    tiny: Make, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LearnedWeighting, "_members", dict(LearnedWeighting._members))

    class Scale(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_scale = nn.Parameter(torch.zeros(()))

        def forward(self, losses: Tensor, log_snr: Tensor) -> Tensor:
            return losses * torch.exp(-self.log_scale) + self.log_scale

    @dataclass(frozen=True, kw_only=True)
    class OneScale(LearnedWeighting):
        kind: Literal["one_scale"] = "one_scale"
        learning_rate: float = 0.1

        def weights(self, log_snr: Tensor, process: Process) -> Tensor:
            return torch.full_like(log_snr, 0.1)

        def build(self, generator: torch.Generator) -> nn.Module:
            return Scale()

    runner(tiny(weighting=OneScale()))
    module = checkpoint.load(runner.session.run_dir / CHECKPOINT)["weighting"]["module"]
    assert module["log_scale"] < -0.5
