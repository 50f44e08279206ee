"""Feature extractors: what a distance between images is taken in."""

from curriculum_search.evaluation.features.classifier import Classifier
from curriculum_search.evaluation.features.clip import CLIP
from curriculum_search.evaluation.features.dinov2 import DinoV2
from curriculum_search.evaluation.features.efficientnet import EfficientNetLite0
from curriculum_search.evaluation.features.extractor import Extractor, Features, Sources, describe
from curriculum_search.evaluation.features.inception import Inception
from curriculum_search.evaluation.features.latents import LatentComponents
from curriculum_search.evaluation.features.pixels import Pixels
from curriculum_search.evaluation.features.torchscript import TorchScript
from curriculum_search.evaluation.features.words_and_images import WordsAndImages

__all__ = [
    "CLIP",
    "Classifier",
    "DinoV2",
    "EfficientNetLite0",
    "Extractor",
    "Features",
    "Inception",
    "LatentComponents",
    "Pixels",
    "Sources",
    "TorchScript",
    "WordsAndImages",
    "describe",
]
