"""Noise processes, densities of noise levels, loss weights and samplers."""

from curriculum_search.diffusion.adaptive import AdaptiveDensity, EntropyRate, LossSecondMoment
from curriculum_search.diffusion.ddpm import DDPM
from curriculum_search.diffusion.density import (
    Beta,
    Density,
    Histogram,
    Laplace,
    LogitNormal,
    LogNormal,
    Speed,
    Uniform,
)
from curriculum_search.diffusion.discrete import DDIMSampler, DDPMSampler, StridedDDIMSampler
from curriculum_search.diffusion.edm import EDM
from curriculum_search.diffusion.flow import Flow
from curriculum_search.diffusion.ode import EulerSampler, HeunSampler
from curriculum_search.diffusion.piecewise import DeviceTable, PiecewiseDensity
from curriculum_search.diffusion.process import Estimate, Network, Process
from curriculum_search.diffusion.sampling import Sampler, guided
from curriculum_search.diffusion.uncertainty import Uncertainty
from curriculum_search.diffusion.weighting import (
    P2,
    EDMWeighting,
    LearnedWeighting,
    MinSNR,
    NoWeighting,
    Weighting,
)

__all__ = [
    "P2",
    "AdaptiveDensity",
    "Beta",
    "DDIMSampler",
    "DDPM",
    "DDPMSampler",
    "Density",
    "DeviceTable",
    "EDM",
    "EDMWeighting",
    "EntropyRate",
    "Estimate",
    "EulerSampler",
    "Flow",
    "HeunSampler",
    "Histogram",
    "Laplace",
    "LearnedWeighting",
    "LogNormal",
    "LogitNormal",
    "LossSecondMoment",
    "MinSNR",
    "Network",
    "NoWeighting",
    "PiecewiseDensity",
    "Process",
    "Sampler",
    "Speed",
    "StridedDDIMSampler",
    "Uncertainty",
    "Uniform",
    "Weighting",
    "guided",
]
