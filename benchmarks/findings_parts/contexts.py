"""The contexts of search_spaces/findings/: where the same arms are compared, each a study over another base."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curriculum_search.loading import UserError, read_yaml
from curriculum_search.search.load import load_study
from curriculum_search.search.study import StudyFile

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "search_spaces" / "findings"
STUDY, SEARCH, LEARNING_RATE = (FOLDER / f"{name}.yaml" for name in ("study", "search", "learning_rate"))
CONTEXTS, LEARNING_RATES = FOLDER / "contexts.yaml", FOLDER / "learning_rates.yaml"
#: The contexts in which a search is set beside the arms.
SEARCHED = ("digits-epsilon-short", "digits-x0-short")
_RATE = "base.training.learning_rate"


@dataclass(frozen=True, kw_only=True)
class Context:
    """One context: a name, and what it sets in the study files, by dotted path.

    Attributes:
        name: data, what the network predicts, the budget, and whatever else differs.
        overrides: of study.yaml; what is not of an arm goes for search.yaml and learning_rate.yaml too.
        learning_rate: what the search over ordinary training chose; None before it.
    """

    name: str
    overrides: Mapping[str, Any]
    learning_rate: float | None

    def study(self) -> StudyFile:
        """The arms of study.yaml in this context.

        Raises:
            UserError: its learning rate has not been chosen yet.
        """
        return load_study(STUDY, self.values)

    def search(self) -> StudyFile:
        """The search of search.yaml in this context.

        Raises:
            UserError: its learning rate has not been chosen yet.
        """
        return load_study(SEARCH, self._shared | self._named("search-") | {_RATE: self._chosen})

    def rates(self) -> StudyFile:
        """The search of its learning rate."""
        return load_study(LEARNING_RATE, self._shared | self._named("learning-rate-"))

    @property
    def measures_difficulty(self) -> bool:
        """Whether the difficulty of its noise levels is measured: once for each prediction of each data set."""
        return self.name.endswith("-short")

    @property
    def is_searched(self) -> bool:
        """Whether a search is set beside its arms."""
        return self.name in SEARCHED

    @property
    def values(self) -> dict[str, Any]:
        """What it sets in study.yaml, its name and learning rate included."""
        return {**self.overrides, **self._named(), _RATE: self._chosen}

    @property
    def command(self) -> str:
        """What runs this context alone."""
        given = [
            f"{path}={value if isinstance(value, str) else json.dumps(value)}" for path, value in self.values.items()
        ]
        return shlex.join(["python", "jobs/search.py", str(STUDY.relative_to(ROOT)), *given])

    @property
    def _shared(self) -> dict[str, Any]:
        return {path: value for path, value in self.overrides.items() if not path.startswith("study.arms")}

    @property
    def _chosen(self) -> float:
        if self.learning_rate is None:
            raise UserError(
                f"{LEARNING_RATES.relative_to(ROOT)}: {self.name} has no learning rate yet; choose it first, with "
                f"python benchmarks/findings.py --only learning-rates --context {self.name}"
            )
        return self.learning_rate

    def _named(self, part: str = "") -> dict[str, Any]:
        return {"study.name": f"findings-{part}{self.name}"}


def read_contexts() -> dict[str, Context]:
    """All contexts by name, in the order in which they are run."""
    rates = read_rates()
    return {
        name: Context(name=name, overrides=given, learning_rate=rates.get(name, {}).get("learning_rate"))
        for name, given in read_yaml(CONTEXTS)["contexts"].items()
    }


def read_rates() -> dict[str, dict[str, Any]]:
    """What is known of learning rates, by context: ``learning_rate``, and of each tried the ``values`` by seed."""
    return read_yaml(LEARNING_RATES) if LEARNING_RATES.exists() else {}


def chosen(given: str | None) -> list[Context]:
    """The context of a name, or where none is given all of them.

    Raises:
        UserError: there is none of that name.
    """
    contexts = read_contexts()
    if given is None:
        return list(contexts.values())
    if given not in contexts:
        raise UserError(f"--context: there is no {given}; allowed: {', '.join(contexts)}")
    return [contexts[given]]
