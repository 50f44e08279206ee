"""Network architectures, and weights of other programs."""

from curriculum_search.models.base import Model
from curriculum_search.models.blocks import check_shards, recompute
from curriculum_search.models.dit import DiT
from curriculum_search.models.foreign import dit_weights, sit_weights, what_it_is
from curriculum_search.models.pixart import PixArt
from curriculum_search.models.text_dit import TextDiT
from curriculum_search.models.unet import UNet

__all__ = [
    "DiT",
    "Model",
    "PixArt",
    "TextDiT",
    "UNet",
    "check_shards",
    "dit_weights",
    "recompute",
    "sit_weights",
    "what_it_is",
]
