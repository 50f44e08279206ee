"""Noise processes, densities of noise levels, loss weights and samplers."""

from curriculum_search.diffusion.ancestral import DDIMSampler, DDPMSampler, StridedDDIMSampler
from curriculum_search.diffusion.ddpm import DDPM
from curriculum_search.diffusion.density import (
    Beta,
    Density,
    Histogram,
    LogitNormal,
    LogNormal,
    LossSecondMoment,
    Speed,
    Uniform,
)
from curriculum_search.diffusion.edm import EDM
from curriculum_search.diffusion.flow import Flow
from curriculum_search.diffusion.ode import EulerSampler, HeunSampler
from curriculum_search.diffusion.piecewise import DeviceTable, PiecewiseDensity
from curriculum_search.diffusion.process import Estimate, Network, Process
from curriculum_search.diffusion.sampling import Sampler, guided
from curriculum_search.diffusion.weighting import P2, EDMWeighting, MinSNR, NoWeighting, Weighting

__all__ = [
    "P2",
    "Beta",
    "DDIMSampler",
    "DDPM",
    "DDPMSampler",
    "Density",
    "DeviceTable",
    "EDM",
    "EDMWeighting",
    "Estimate",
    "EulerSampler",
    "Flow",
    "HeunSampler",
    "Histogram",
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
    "Uniform",
    "Weighting",
    "guided",
]
