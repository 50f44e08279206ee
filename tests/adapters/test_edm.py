"""The noise levels of EDM's loss."""

import numpy as np
import pytest
import scipy.stats
import torch
from support.curricula import Write

from curriculum_search.adapters import EDMSigmas
from curriculum_search.diffusion import EDM

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
