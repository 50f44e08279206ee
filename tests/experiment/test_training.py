"""The clock and the schedule of a run."""

import pytest

from curriculum_search.experiment import Training


def test_evaluations_are_equally_spaced_whole_steps_and_the_last_is_at_the_end() -> None:
    points = Training(total_images=1000, batch_size=8, num_evaluations=3).evaluation_points()
    assert points == (336, 664, 1000)
    assert all(point % 8 == 0 for point in points)


def test_every_step_can_be_evaluated() -> None:
    settings = Training(total_images=64, batch_size=8, num_evaluations=8)
    assert settings.evaluation_points() == tuple(range(8, 72, 8))


def test_the_learning_rate_rises_then_stays_or_falls_to_zero() -> None:
    constant = Training(total_images=800, batch_size=8, learning_rate=1.0, warmup_images=80)
    assert constant.learning_rate_at(0) == pytest.approx(8 / 88)
    assert constant.learning_rate_at(40) == pytest.approx(48 / 88)
    assert constant.learning_rate_at(80) == constant.learning_rate_at(792) == 1.0
    cosine = Training(total_images=800, batch_size=8, learning_rate=1.0, decay="cosine")
    assert cosine.learning_rate_at(0) == 1.0
    assert cosine.learning_rate_at(400) == pytest.approx(0.5)
    assert cosine.learning_rate_at(800) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"total_images": 100, "batch_size": 64}, r"total_images must be a multiple of batch_size \(64\), not 100; 64"),
        ({"batch_size": 10, "total_images": 100}, r"noise_shards must divide batch_size \(10\); 8 does not"),
        ({"num_evaluations": 2000}, "num_evaluations must be at most the 1000 steps, not 2000"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"label_dropout": 1.5}, r"label_dropout must be in \[0, 1\], not 1.5"),
        ({"microbatch_size": 0}, "microbatch_size must be at least 1"),
        ({"num_evaluations": 0}, "num_evaluations must be at least 1"),
        ({"betas": (0.9, 1.0)}, r"betas must be in \[0, 1\), not \[0\.9, 1\.0\]"),
        ({"betas": (-0.1, 0.99)}, r"betas must be in \[0, 1\)"),
    ],
)
def test_settings_that_cannot_be_are_named(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Training(**fields)  # type: ignore[arg-type]
