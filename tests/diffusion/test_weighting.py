import numpy as np
import pytest
import torch

from curriculum_search.diffusion import DDPM, EDM, P2, EDMWeighting, Flow, MinSNR, NoWeighting, Process, Weighting

LOG_SNR = torch.linspace(-9, 9, 19, dtype=torch.float64)
SNR = LOG_SNR.exp()
T = 1 / (1 + SNR.sqrt())  # flow: SNR = ((1 - t) / t)^2
FIVE = SNR.clamp(max=5)


@pytest.mark.parametrize(
    ("weighting", "process", "published"),
    [
        (MinSNR(), DDPM(), FIVE / SNR),
        (MinSNR(), DDPM(prediction="x0"), FIVE),
        (MinSNR(), DDPM(prediction="v"), FIVE / (SNR + 1)),
        (MinSNR(gamma=1.0), DDPM(), SNR.clamp(max=1) / SNR),
        (MinSNR(), EDM(), FIVE),
        (MinSNR(), Flow(), FIVE * T**2),  # v - v' = (x0' - x0) / t
        (P2(), DDPM(), 1 / (1 + SNR)),
        (P2(gamma=0.5), DDPM(), 1 / (1 + SNR) ** 0.5),
        (P2(gamma=2.0, k=3.0), DDPM(), 1 / (3 + SNR) ** 2),
        (P2(), DDPM(prediction="x0"), SNR / (1 + SNR)),
        (P2(), DDPM(prediction="v"), SNR / (1 + SNR) ** 2),
        (EDMWeighting(), EDM(), (1 / SNR + 0.25) / (0.25 / SNR)),
        (EDMWeighting(sigma_data=0.7), EDM(), (1 / SNR + 0.49) / (0.49 / SNR)),
        (EDMWeighting(), DDPM(prediction="x0"), 4 + SNR),
        (EDMWeighting(), DDPM(), (4 + SNR) / SNR),
    ],
)
def test_weights_are_the_published_ones(weighting: Weighting, process: Process, published: torch.Tensor) -> None:
    torch.testing.assert_close(weighting.weights(LOG_SNR, process), published, rtol=1e-10, atol=0)


def test_no_weighting_leaves_every_native_loss_alone(process: Process) -> None:
    assert torch.equal(NoWeighting().weights(LOG_SNR, process), torch.ones(19, dtype=torch.float64))


@pytest.mark.parametrize("weighting", [MinSNR(), P2(), EDMWeighting(), NoWeighting()])
def test_weights_are_finite_at_the_ends_of_q_in_float32(weighting: Weighting, process: Process) -> None:
    weights = weighting.weights(process.log_snr(torch.tensor([0.0, 0.5, 1.0])), process)
    assert weights.dtype == torch.float32
    assert np.all(np.isfinite(weights.numpy()))


@pytest.mark.parametrize(("kind", "field"), [("min_snr", "gamma"), ("p2", "gamma"), ("p2", "k"), ("edm", "sigma_data")])
def test_negative_fields_are_refused_by_name(kind: str, field: str) -> None:
    with pytest.raises(ValueError, match=field):
        Weighting.from_dict({"kind": kind, field: -1.0})


def test_every_kind_is_registered() -> None:
    assert set(Weighting.kinds()) == {"none", "min_snr", "p2", "edm", "uncertainty"}
