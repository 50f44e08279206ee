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
    Classifier,
    DinoV2,
    EfficientNetLite0,
    Extractor,
    Features,
    Inception,
    Pixels,
    Sources,
    TorchScript,
)
from curriculum_search.evaluation.report import Row, Table, save_grid

__all__ = [
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
    "Pixels",
    "PrecisionRecall",
    "Row",
    "Sources",
    "Table",
    "TorchScript",
    "ValidationLoss",
    "evaluate",
    "save_grid",
]
