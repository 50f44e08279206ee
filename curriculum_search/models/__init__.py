"""Network architectures."""

from curriculum_search.models.base import Model
from curriculum_search.models.dit import DiT
from curriculum_search.models.unet import UNet

__all__ = ["DiT", "Model", "UNet"]
