"""Generation, features, distances: evaluators that yield (name, value)."""

from curriculum_search.evaluation.bank import FixedBank
from curriculum_search.evaluation.errors import Diverged
from curriculum_search.evaluation.evaluation import Evaluation, EvaluationRun, evaluate
from curriculum_search.evaluation.evaluator import Evaluator
from curriculum_search.evaluation.evaluators import (
    Frechet,
    InceptionScore,
    KernelDistance,
    PrecisionRecall,
    ValidationLoss,
)
from curriculum_search.evaluation.evidence import Evidence, Need
from curriculum_search.evaluation.features import (
    CLIP,
    Classifier,
    DinoV2,
    EfficientNetLite0,
    Extractor,
    Features,
    Inception,
    LatentComponents,
    Pixels,
    Sources,
    TorchScript,
    WordsAndImages,
)
from curriculum_search.evaluation.report import Row, Table, save_grid
from curriculum_search.evaluation.text_score import TextScore

__all__ = [
    "CLIP",
    "Classifier",
    "DinoV2",
    "Diverged",
    "EfficientNetLite0",
    "Evaluation",
    "EvaluationRun",
    "Evaluator",
    "Evidence",
    "Extractor",
    "Features",
    "FixedBank",
    "Frechet",
    "Inception",
    "InceptionScore",
    "KernelDistance",
    "Need",
    "LatentComponents",
    "Pixels",
    "PrecisionRecall",
    "Row",
    "Sources",
    "Table",
    "TextScore",
    "TorchScript",
    "ValidationLoss",
    "WordsAndImages",
    "evaluate",
    "save_grid",
]
