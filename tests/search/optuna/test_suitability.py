"""Whether a sampler suits a space, found out before anything is trained."""

import optuna
import pytest
from support.spaces import SAMPLERS, SPACE

from curriculum_search.direction import Direction
from curriculum_search.search.optuna.samplers import CMAES, AnyOptuna, SearchSampler
from curriculum_search.search.optuna.suitability import try_out


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.to_dict()["kind"])
def test_a_sampler_that_suits_the_space_can_be_tried_out(
    sampler: SearchSampler, capfd: pytest.CaptureFixture[str]
) -> None:
    try_out(sampler, SPACE, [Direction.MINIMIZE])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("sampler", "directions", "message"),
    [
        (CMAES(), [*Direction], "multi-objective"),
        (AnyOptuna(name="BruteForceSampler"), [Direction.MINIMIZE], "FloatDistribution.step must be given"),
        (AnyOptuna(name="TPESampler", options={"gamma": 3}), [Direction.MINIMIZE], "not callable"),
        (
            AnyOptuna(name="TPESampler", options={"gamma": 3, "n_startup_trials": 500}),
            [Direction.MINIMIZE],
            "not callable",
        ),
    ],
)
def test_a_sampler_that_does_not_suit_fails_when_it_is_tried_out(
    sampler: SearchSampler, directions: list[Direction], message: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        try_out(sampler, SPACE, directions)


def test_trying_out_leaves_optunas_voice_as_it_was() -> None:
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    try:
        with pytest.raises(ValueError, match="multi-objective"):
            try_out(CMAES(), SPACE, [*Direction])
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.set_verbosity(before)
