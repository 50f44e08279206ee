"""The noise levels of EDM's loss."""

import numpy as np
import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import EDMSigmas
from curriculum_search.curriculum import Curriculum, Plateau
from curriculum_search.diffusion import EDM, LogNormal

pytestmark = pytest.mark.filterwarnings("ignore:.*images of total_images have been drawn")


def test_edm_gets_sigmas_shaped_for_its_images_that_end_as_its_log_normal(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    edm = EDMSigmas(curriculum_file(EDM()), total_images=4000)
    first = edm.sigmas(500, "cpu")
    assert (first.shape, first.dtype) == (torch.Size([500, 1, 1, 1]), torch.float32)
    # The noisiest quarter: ln sigma above its upper quartile, -1.2 + 1.2 * 0.67449.
    assert first.min() >= np.exp(-1.2 + 1.2 * 0.67449) * (1 - 1e-4)
    while edm.images_seen < 4000:
        edm.sigmas(500, "cpu")
    normal = scipy.stats.norm(-1.2, 1.2)
    assert scipy.stats.kstest(edm.sigmas(20_000, "cpu").log().flatten().numpy(), normal.cdf).pvalue > 1e-3


def test_sigmas_of_edm2s_density_end_as_that(curriculum_file: Write) -> None:
    torch.manual_seed(0)
    edm2 = EDMSigmas(curriculum_file(EDM()), total_images=1000, density=LogNormal(mean=-0.4, std=1.0))
    edm2.sigmas(1000, "cpu")
    sigmas = edm2.sigmas(20_000, "cpu")
    assert scipy.stats.kstest(sigmas.log().flatten().numpy(), scipy.stats.norm(-0.4, 1.0).cdf).pvalue > 1e-3


def test_losses_are_observed_per_image_though_sigmas_have_the_shape_of_images(curriculum_file: Write) -> None:
    gated = Curriculum(num_clusters=4, pacing=Plateau(patience_share=0.05, window_steps=1))
    edm = EDMSigmas(curriculum_file(EDM(), curriculum=gated), total_images=4000)
    sigmas = edm.sigmas(10, "cpu")
    with pytest.raises(ValueError, match=r"one loss for each of the 10 levels drawn last, \[10\], not \[10, 1, 1, 1\]"):
        edm.observe(sigmas)
    edm.observe(sigmas.flatten())
