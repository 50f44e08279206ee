"""Which conditions a kind of model takes, and what to change where the data have others."""

from collections.abc import Iterable

from curriculum_search.conditions import Captions, Classes, Conditions, Unconditioned
from curriculum_search.data import Captioned, DataSource
from curriculum_search.models.base import Model


def count_classes(conditions: Conditions, model: str) -> int:
    """The number of classes for a model of kind `model` that is conditioned on classes or nothing; 0 for nothing.

    Raises:
        ValueError: the conditions are of another kind.
    """
    if isinstance(conditions, Classes):
        return conditions.num_classes
    if isinstance(conditions, Unconditioned):
        return 0
    words = f"model kind {model} is conditioned on classes or on nothing, and the data have {conditions.words}"
    if isinstance(conditions, Captions):
        kinds = _listed(kind for kind, other in Model.kinds().items() if other.takes_captions)
        words += f"; model kinds {kinds} take captions"
    raise ValueError(words)


def captions_of(conditions: Conditions, model: str) -> Captions:
    """The captions for a model of kind `model` that is conditioned on captions.

    Raises:
        ValueError: the conditions are of another kind.
    """
    if not isinstance(conditions, Captions):
        kinds = _listed(kind for kind, source in DataSource.kinds().items() if issubclass(source, Captioned))
        raise ValueError(
            f"model kind {model} is conditioned on captions, and the data have {conditions.words}; data kinds {kinds} "
            "have captions"
        )
    return conditions


def _listed(kinds: Iterable[str]) -> str:
    *first, last = sorted(kinds)
    return " and ".join(filter(None, (", ".join(first), last)))
