"""Continuous noise levels of any codebase."""

import numpy as np
import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import Levels, Quantiles
from curriculum_search.diffusion import DDPM, EDM, Flow, LogitNormal, LogNormal

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_a_density_of_the_trainings_own_is_restricted_to_the_clusters_and_drawn_in_the_end(
    curriculum_file: Write,
) -> None:
    torch.manual_seed(0)
    levels = Levels(curriculum_file(Flow()), "flow", density=LogitNormal(mean=-1.0), total_images=4000)
    normal = scipy.stats.norm(-1.0, 1.0)
    first = torch.logit(levels.levels(2500, "cpu")).numpy()
    tail = normal.cdf(np.log(3.0))  # logit of the cluster's edge, 3/4
    assert scipy.stats.kstest((normal.cdf(first) - tail) / (1 - tail), "uniform").pvalue > 1e-3
    levels.levels(1500, "cpu")
    assert scipy.stats.kstest(torch.logit(levels.levels(20_000, "cpu")).numpy(), normal.cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("process", "given", "wanted"), [(Flow(), "edm", "edm, not flow"), (EDM(), "flow", "flow, not edm")]
)
def test_levels_of_another_process_are_an_error(
    process: EDM | Flow, given: str, wanted: str, curriculum_file: Write
) -> None:
    with pytest.raises(ValueError, match=f"Levels needs a curriculum over the levels of {wanted}"):
        Levels(curriculum_file(process), given, total_images=4000)


def test_timesteps_have_adapters_of_their_own(curriculum_file: Write) -> None:
    with pytest.raises(ValueError, match="Levels is for continuous levels; for the timesteps of ddpm there is"):
        Levels(curriculum_file(DDPM()), "ddpm", total_images=4000)


@pytest.mark.parametrize("process", [Flow(), Flow(shift=3.0), EDM()], ids=str)
def test_levels_are_the_processs_own_unless_a_codebase_has_a_convention_for_them(
    process: EDM | Flow, curriculum_file: Write
) -> None:
    path, kind = curriculum_file(process), process.kind
    levels = []
    for convention in (None, lambda level: 1000 * (1 - level)):
        torch.manual_seed(0)
        levels.append(Levels(path, kind, level=convention, total_images=4000).levels(50, "cpu"))
    torch.manual_seed(0)
    q = Quantiles(path, total_images=4000).quantiles(50, "cpu")
    own, reversed_thousandths = levels
    assert q.min() >= 0.75  # the noisiest quarter is unlocked
    assert torch.equal(own, process.level(q))
    assert torch.equal(reversed_thousandths, 1000 * (1 - own))


def test_a_shift_reaches_a_codebase_that_counts_from_noise_to_data(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    levels = Levels(curriculum_file(Flow(shift=3.0)), "flow", level=lambda t: 1 - t, total_images=4000)
    # The noisiest quarter of q is t from 3 * 0.75 / (1 + 2 * 0.75) = 0.9 on.
    first = 1 - levels.levels(4000, "cpu")
    assert 0.9 - 1e-6 <= first.min() < 0.902
    shares = 1 - levels.levels(20_000, "cpu").double()
    assert scipy.stats.kstest(shares.numpy(), lambda t: t / (3 - 2 * t)).pvalue > 1e-3


def test_a_density_of_the_trainings_own_is_over_noise_where_it_is_log_normal_whatever_the_shift(
    curriculum_file: Write,
) -> None:
    torch.manual_seed(0)
    ordinary = LogNormal(mean=0.0, std=1.0)  # a logit-normal share of noise
    levels = Levels(curriculum_file(Flow(shift=3.0)), "flow", density=ordinary, total_images=4000)
    assert levels.levels(4000, "cpu").min() >= 0.9 - 1e-6
    logits = torch.logit(levels.levels(20_000, "cpu").double())
    assert scipy.stats.kstest(logits.numpy(), scipy.stats.norm().cdf).pvalue > 1e-3
