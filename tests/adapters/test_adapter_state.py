"""The clock that all adapters share, and what they save."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from curriculum_search.adapters import EDMSigmas, SiTTimes
from curriculum_search.curriculum import Curriculum, CurriculumFile, Plateau, Reason
from curriculum_search.diffusion import EDM, Flow

Write = Callable[..., str]


def test_a_restored_adapter_goes_on_as_if_never_stopped(curriculum_file: Write) -> None:
    gated = Curriculum(num_clusters=5, pacing=Plateau(patience_share=0.05, end_share=0.8))
    path = curriculum_file(Flow(), curriculum=gated)
    whole, part = SiTTimes(path), SiTTimes(path)

    def step(adapter: SiTTimes, n: int) -> torch.Tensor:
        torch.manual_seed(n)
        t = adapter.times(100, "cpu")
        adapter.observe(torch.rand(100))
        return t

    for n in range(13):
        step(whole, n)
        step(part, n)
    buffer = io.BytesIO()
    torch.save({"curriculum": part.state_dict()}, buffer)
    buffer.seek(0)
    resumed = SiTTimes(path)
    resumed.load_state_dict(torch.load(buffer, weights_only=True)["curriculum"])
    for n in range(13, 40):
        assert torch.equal(step(whole, n), step(resumed, n))
    assert whole.history == resumed.history
    assert len(whole.history) > 2
    assert whole.state_dict() == resumed.state_dict()


def test_pacing_is_relative_to_the_budget_that_is_given(curriculum_file: Write) -> None:
    path = curriculum_file(Flow())
    short, long = SiTTimes(path), SiTTimes(path, total_images=40_000)
    for _ in range(20):
        short.times(100, "cpu")
        long.times(100, "cpu")
    assert (short.stage, long.stage) == (4, 1)
    assert short.history[1].images * 10 < 10_000
    assert short.history[-1].reason is Reason.SCHEDULE


def test_the_contents_of_a_file_do_as_well_as_its_path(curriculum_file: Write) -> None:
    path = curriculum_file(Flow())
    torch.manual_seed(0)
    by_path = SiTTimes(Path(path)).times(10, "cpu")
    torch.manual_seed(0)
    assert torch.equal(SiTTimes(CurriculumFile.load(path)).times(10, "cpu"), by_path)


def test_an_adapter_can_be_pickled_with_the_loss_that_holds_it(curriculum_file: Write) -> None:
    adapter = EDMSigmas(curriculum_file(EDM()))
    adapter.sigmas(100, "cpu")
    again = pickle.loads(pickle.dumps(adapter))
    assert again.state_dict() == adapter.state_dict()


def test_a_gate_on_a_bank_needs_one(curriculum_file: Write) -> None:
    banked = Curriculum(num_clusters=4, pacing=Plateau(gate="bank", patience_share=0.05, max_stage_share=1.0))
    path = curriculum_file(Flow(), curriculum=banked)
    with pytest.raises(ValueError, match="watches the loss on a fixed bank: bank_losses is required"):
        SiTTimes(path)
    adapter = SiTTimes(path, bank_losses=lambda: torch.ones(16, dtype=torch.float64))
    for _ in range(10):
        adapter.times(100, "cpu")
    assert adapter.history[1].reason is Reason.PLATEAU


def test_losses_cannot_be_observed_before_anything_was_drawn(curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match="nothing has been drawn yet"):
        SiTTimes(curriculum_file(Flow())).observe(torch.ones(3))


def test_the_state_of_another_curriculum_is_an_error(curriculum_file: Write) -> None:
    five = SiTTimes(curriculum_file(Flow(), curriculum=Curriculum(num_clusters=5)))
    with pytest.raises(ValueError, match="saved by another curriculum"):
        SiTTimes(curriculum_file(Flow())).load_state_dict(five.state_dict())
