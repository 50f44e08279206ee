"""Captions as numbers: text encoders, and the files in which their encodings are kept."""

from curriculum_search.text.encoder import Encoded, LoadedTextEncoder, TextEncoder
from curriculum_search.text.encoders import CLIPText, SentenceEncoder, T5Text
from curriculum_search.text.store import CaptionFile, EncodedCaptions

__all__ = [
    "CLIPText",
    "CaptionFile",
    "Encoded",
    "EncodedCaptions",
    "LoadedTextEncoder",
    "SentenceEncoder",
    "T5Text",
    "TextEncoder",
]
