"""Data sources that a test makes up."""

from curriculum_search.data import DataSource, ImageSet


class AtHand(DataSource):
    """A data source made of two sets at hand."""

    def __init__(self, train: ImageSet, reference: ImageSet | None = None) -> None:
        self._train, self._reference = train, reference or train

    @property
    def where(self) -> str:
        return "memory"

    def load(self) -> ImageSet:
        return self._train

    def reference(self) -> ImageSet:
        return self._reference
