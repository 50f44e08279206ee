"""What an evaluation raises when there is no number to give."""


class Diverged(RuntimeError):  # noqa: N818  (the name of a state, as in "the trial diverged")
    """The network's samples, features or losses are not finite: the run has diverged and has no metric."""
