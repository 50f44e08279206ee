"""The direction of imports: the method stands on its own, the search stands on the method."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "curriculum_search"
CORE = (
    *("curriculum", "diffusion", "models", "data", "experiment", "training", "evaluation", "difficulty"),
    *("adapters", "testing"),
)
CORE_FILES = ("atomic.py", "config.py", "direction.py", "distributed.py")
