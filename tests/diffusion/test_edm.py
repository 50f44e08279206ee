"""Numbers marked as printed are k-diffusion's (Denoiser with weighting "karras", sigma_data 0.5)."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from curriculum_search.conditions import Condition, Unconditional
from curriculum_search.diffusion import EDM, EDMWeighting, Process


def wavy_network(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
    return torch.sin(1.3 * x + time[:, None, None, None])


SIGMAS = np.array([0.002, 0.05, 0.3, 1.0, 5.0, 80.0])


def test_losses_are_the_published_ones_with_and_without_their_weight(toy_images: tuple[Tensor, Tensor]) -> None:
    images, noise = toy_images
    process = EDM()
    q = torch.from_numpy(process.quantile(SIGMAS))
    losses = process.losses(wavy_network, images, q, noise, Unconditional())
    # Printed: mean of (D(x) - y)^2, and the weighted loss.
    np.testing.assert_allclose(
        losses, [5.1975376e-06, 0.0027281991, 0.108298048, 0.155296594, 0.61216587, 0.68152553], rtol=1e-5
    )
    weighted = EDMWeighting().weights(process.log_snr(q), process) * losses
    np.testing.assert_allclose(
        weighted, [1.29939771, 1.1021924, 1.6365037, 0.77648294, 2.4731503, 2.7262087], rtol=1e-5
    )


def test_preconditioning_has_the_coefficients_of_table_1() -> None:
    seen: dict[str, Any] = {}

    def constant(x: Tensor, time: Tensor, condition: Condition) -> Tensor:
        seen["x"], seen["time"] = x, time
        return torch.full_like(x, seen["value"])

    process = EDM(sigma_data=0.7)
    sigma, data = torch.from_numpy(SIGMAS).float(), 0.7
    x = torch.full((6, 1, 1, 1), 3.0)
    seen["value"] = 0.0
    c_skip = process.estimate_at(constant, x, sigma, Unconditional()).x0.flatten() / 3
    seen["value"] = 1.0
    c_out = process.estimate_at(constant, x, sigma, Unconditional()).x0.flatten() - 3 * c_skip
    torch.testing.assert_close(c_skip, data**2 / (sigma**2 + data**2))
    torch.testing.assert_close(c_out, sigma * data / (sigma**2 + data**2).sqrt(), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(seen["x"].flatten(), 3 / (sigma**2 + data**2).sqrt())
    torch.testing.assert_close(seen["time"], sigma.log() / 4)


def test_equal_steps_of_q_are_quantiles_of_the_log_normal() -> None:
    sigma = EDM().level(np.arange(1, 10) / 10)
    np.testing.assert_allclose(
        sigma, [0.0647, 0.1097, 0.1605, 0.2222, 0.3012, 0.4082, 0.5651, 0.8269, 1.4019], atol=5.1e-5
    )


def test_published_extremes_of_sigma_are_not_clamped() -> None:
    for process in (EDM(), EDM(p_mean=-0.4, p_std=1.0)):
        np.testing.assert_allclose(process.level(process.quantile(np.array([0.002, 80.0]))), [0.002, 80.0], rtol=1e-8)


def test_the_ends_of_q_are_six_standard_deviations_away() -> None:
    np.testing.assert_allclose(
        np.log(EDM().level(np.array([0.0, 1.0]))), [-1.2 - 1.2 * 5.9978, -1.2 + 1.2 * 5.9978], rtol=1e-5
    )


@pytest.mark.parametrize("fields", [{"p_std": 0.0}, {"sigma_data": -1.0}])
def test_impossible_fields_are_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        Process.from_dict({"kind": "edm", **fields})
