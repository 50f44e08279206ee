"""What the network sees of images, and the way back: the images themselves, or an autoencoder's latents."""

from curriculum_search.models.encoders.base import Codec, Decoded, Encoder, Shape
from curriculum_search.models.encoders.pixels import PIXELS, PixelEncoder
from curriculum_search.models.encoders.undecoded import Undecoded
from curriculum_search.models.encoders.vae import VAE, Autoencoder

__all__ = ["Autoencoder", "Codec", "Decoded", "Encoder", "PIXELS", "PixelEncoder", "Shape", "Undecoded", "VAE"]
