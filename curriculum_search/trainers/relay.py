"""What a program says, by the handle inside it and by lines of metrics, as the reports of its run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curriculum_search.evaluation import Diverged
from curriculum_search.trainers.assignment import Assignment
from curriculum_search.trainers.checks import TrainerError, checked_images, checked_metrics
from curriculum_search.trainers.program import MESSAGES
from curriculum_search.trainers.view import View
from curriculum_search.training import Report, Session, StatusReport

_REPORTS = "reports.jsonl"
_CHUNK_BYTES = 1 << 20


class Lines:
    """The whole lines that a growing file has got since the last look; a file that is not there has none.

    Args:
        path: of the file.
        start: where reading starts; None: at the end that it has now.
    """

    def __init__(self, path: Path, *, start: int | None = 0) -> None:
        self.path = path
        self._at = start if start is not None else path.stat().st_size if path.exists() else 0
        self._rest = b""

    def new(self) -> Iterator[bytes]:
        """Each line, without its end."""
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self._at)
            while chunk := file.read(_CHUNK_BYTES):
                self._at += len(chunk)
                *lines, self._rest = (self._rest + chunk).split(b"\n")
                yield from lines


class Relay:
    """Hands on what a program says.

    A line of metrics is a JSON object with ``images`` and at least one of the metrics that are promised.  It is put
    together with what the handle told when the evaluation was due.

    Args:
        assignment: what is trained.
        session: whom it is said to.
        folder: of the files by which the program speaks.

    Attributes:
        reports: of the evaluations so far.
        drawn: images that noise levels have been drawn for, as far as is known.
        problem: what the handle has ended the program for.
    """

    def __init__(self, assignment: Assignment, session: Session, folder: Path) -> None:
        self.reports: list[Report] = []
        self.drawn = 0
        self.problem: Exception | None = None
        self._assignment = assignment
        self._session = session
        self._messages = Lines(folder / MESSAGES)
        self._known = folder / _REPORTS
        self._views: list[View] = []
        self._waiting: list[Mapping[str, Any]] = []
        self._taken = 0

    def take(self, texts: Sequence[Lines], *, ended: bool) -> None:
        """Hand on what is new in the program's files.

        Args:
            texts: where lines of metrics may be.
            ended: whether nothing can follow.

        Raises:
            Diverged, TrainerError: a line of metrics is not what it has to be.
        """
        # In this order: what is known at an evaluation is written before its metrics.
        self._waiting += [metrics for text in texts for line in text.new() if (metrics := self._metrics(line))]
        for line in self._messages.new():
            kind, value = json.loads(line)
            self._hear(kind, value)
        while self._waiting and self.problem is None:
            view = self._view_of(self._waiting[0], ended=ended)
            if view is None:
                return
            self._evaluate(self._waiting.pop(0), view)
            self._taken += 1

    def _hear(self, kind: str, value: Any) -> None:
        if kind == "report":
            report = Report.from_json(value)
            self.drawn = max(self.drawn, report.images)
            self._add(report)
        elif kind == "status":
            status = StatusReport.from_json(value)
            self.drawn = max(self.drawn, status.images)
            self._session.status(status)
        elif kind == "due":
            self._views.append(View.from_json(value))
            self.drawn = max(self.drawn, self._views[-1].images)
        elif kind == "remark":
            self._session.remark(value)
        elif kind == "drawn":
            self.drawn = max(self.drawn, value)
        elif kind == "restored":
            self._restore(value)
        else:
            self.problem = Diverged(value) if kind == "diverged" else _ToldError(value)

    def _metrics(self, line: bytes) -> dict[str, Any] | None:
        if not line.lstrip().startswith(b"{"):
            return None
        try:
            found = json.loads(line)
        except ValueError:
            return None
        known = isinstance(found, dict) and "images" in found and any(m in found for m in self._assignment.metrics)
        return found if known else None

    def _view_of(self, metrics: Mapping[str, Any], *, ended: bool) -> View | None:
        """What the handle knew at an evaluation; None: it may still say so."""
        images = metrics["images"]
        near = [
            view for view in self._views if isinstance(images, int) and abs(view.images - images) <= view.step_images
        ]
        if near:
            return near[-1]
        if self._views and (ended or not isinstance(images, int) or self._views[-1].images > images):
            return self._views[min(self._taken, len(self._views) - 1)]  # with which its images are refused
        if ended:
            raise TrainerError(
                self._assignment.title,
                f"says {json.dumps(metrics)}, and has not asked run.report_is_due: ask it after each step, and "
                "evaluate whenever it is",
            )
        return None

    def _evaluate(self, metrics: Mapping[str, Any], view: View) -> None:
        images = checked_images(
            self._assignment,
            metrics["images"],
            drawn=view.images,
            step_images=view.step_images,
            reports=self.reports,
        )
        points, reported = self._assignment.points, len(self.reports)
        if reported == len(points) or images < points[reported]:
            return
        given = {name: value for name, value in metrics.items() if name != "images" and not isinstance(value, str)}
        values = checked_metrics(self._assignment, given, images=images, reports=self.reports)
        total = self._assignment.total_images
        self._add(view.report(values, images=min(images, total), final=images >= total, earlier=self.reports))

    def _add(self, report: Report) -> None:
        if self.reports and report.images <= self.reports[-1].images:
            return
        self.reports.append(report)
        with self._known.open("w" if len(self.reports) == 1 else "a") as file:
            file.write(report.to_json() + "\n")
        self._session.report(report)

    def _restore(self, images: int) -> None:
        """Take that the program goes on from `images`: what was reported up to there it will not say again."""
        if self._known.exists():
            earlier = [Report.from_json(line) for line in self._known.read_text().splitlines()]
            for report in earlier:
                if report.images <= images:
                    self._add(report)


class _ToldError(TrainerError):
    """In words that name the file already."""

    def __init__(self, words: str) -> None:
        ValueError.__init__(self, words)
