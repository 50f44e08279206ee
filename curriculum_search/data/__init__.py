"""Image sources, the order in which images are shown, and the thread that reads ahead."""

from curriculum_search.data.array import Array
from curriculum_search.data.array_file import IMAGE_NAMES, array_file
from curriculum_search.data.captioned import Captioned, CaptionedFolder, CaptionedImages, Coco
from curriculum_search.data.captioned_latents import CaptionedLatents, write_captions
from curriculum_search.data.digits import Digits
from curriculum_search.data.folder import Folder
from curriculum_search.data.images import DataSource, ImageSet, MemoryImages, to_float, to_uint8
from curriculum_search.data.latent_files import PROVENANCE
from curriculum_search.data.latents import Latents, LatentSet
from curriculum_search.data.order import DataOrder, rank_slice
from curriculum_search.data.prefetch import Prefetcher
from curriculum_search.data.relief import Relief
from curriculum_search.data.webdataset import CaptionedWebDataset, WebDataset
from curriculum_search.data.zip_archive import Zip
from curriculum_search.tensor_file import open_tensors, write_tensors

__all__ = [
    "Array",
    "Captioned",
    "CaptionedFolder",
    "CaptionedImages",
    "CaptionedLatents",
    "CaptionedWebDataset",
    "Coco",
    "DataOrder",
    "DataSource",
    "Digits",
    "Folder",
    "IMAGE_NAMES",
    "ImageSet",
    "LatentSet",
    "Latents",
    "MemoryImages",
    "PROVENANCE",
    "Prefetcher",
    "Relief",
    "WebDataset",
    "Zip",
    "array_file",
    "open_tensors",
    "rank_slice",
    "to_float",
    "to_uint8",
    "write_captions",
    "write_tensors",
]
