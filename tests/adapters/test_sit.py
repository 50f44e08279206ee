"""The times of SiT's transport."""

import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import SiTTimes
from curriculum_search.diffusion import Flow

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_sit_counts_time_from_noise_to_data(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    sit = SiTTimes(curriculum_file(Flow()), total_images=4000)
    first = sit.times(500, "cpu")
    # x_t = t data + (1 - t) noise: the noisiest quarter are the times below 1/4.
    assert first.max() <= 0.25
    assert first.min() >= 0.0
    while sit.images_seen < 4000:
        sit.times(500, "cpu")
    assert scipy.stats.kstest(sit.times(20_000, "cpu").numpy(), "uniform").pvalue > 1e-3


def test_sit_keeps_to_the_interval_that_its_transport_asks_for(curriculum_file: Write) -> None:
    t = SiTTimes(curriculum_file(Flow()), total_images=4000).times(500, "cpu", t0=0.2, t1=0.6)
    assert t.min() >= 0.2
    assert t.max() <= 0.3 + 1e-6


def test_sit_draws_the_shifted_times_of_a_shifted_process(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    sit = SiTTimes(curriculum_file(Flow(shift=3.0)), total_images=4000)
    assert sit.times(4000, "cpu").max() <= 0.1 + 1e-6  # the noisiest quarter of q: a share of noise of 0.9 and more
    shares = 1 - sit.times(20_000, "cpu").double()
    assert scipy.stats.kstest(shares.numpy(), lambda t: t / (3 - 2 * t)).pvalue > 1e-3
