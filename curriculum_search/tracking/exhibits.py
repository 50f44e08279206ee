"""What MLflow shows of a run beside its curves: files, data sets, images over steps, models, and a view of the arms.

Whatever is written here may be written twice with the same effect.
"""

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curriculum_search.tracking.views import VIEW_TAG, arms_view

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

STUDY_TAG = "curriculum_search.study"
_ARM_TAG = "curriculum_search.arm"
_IMAGES_TAG = "mlflow.loggedImages"
_PREVIEW_PIXELS = 256


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where exhibits go.

    Attributes:
        client: of MLflow.
        experiment_id: MLflow's.
        study_id: of the study.
        study_run: MLflow's id of the study's own run.
        run: MLflow's id of the run that a record is of.
        base: where relative paths begin.
    """

    client: "MlflowClient"
    experiment_id: str
    study_id: str
    study_run: str
    run: str
    base: Path


def show(place: Place, record: Mapping[str, Any]) -> str:
    """Write a record of one of the kinds here, and pass over any other; what is wrong with it, or nothing."""
    kind = record["kind"]
    if kind in ("artifact", "image"):
        path = _find(place.base, record["path"])
        if path is None:
            return f"{record['path']}: no such file any more"
        if kind == "artifact":
            place.client.log_artifact(place.run, str(path), record["folder"] or None)
        else:
            _log_image(place, path, record)
    elif kind == "dataset":
        _log_dataset(place, record)
    elif kind == "model":
        _log_model(place, record)
    elif kind == "view":
        view = json.dumps(arms_view(place.study_id, record["view"]))
        place.client.set_experiment_tag(place.experiment_id, f"{VIEW_TAG}{record['name']}", view)
    return ""


def _find(base: Path, path: str) -> Path | None:
    """A file that the journal names, relative to the study's folder; older journals have absolute paths."""
    given = base / path
    parts = given.parts[1:]
    # What an absolute path names may have moved together with the study.
    moved = (base.joinpath(*parts[i:]) for i in range(len(parts)))
    return next((p for p in (given, *(moved if Path(path).is_absolute() else ())) if p.is_file()), None)


def _log_image(place: Place, path: Path, record: Mapping[str, Any]) -> None:
    """An image at a step, under the names that MLflow's own `log_image` gives, without the part that is by chance."""
    from PIL import Image

    step, time = record["images"], round(path.stat().st_mtime * 1000)
    stem = f"{record['name']}+step+{step}+timestamp+{time}+{step:08x}"
    with Image.open(path) as image, tempfile.TemporaryDirectory() as folder:
        image.save(Path(folder) / f"{stem}.png")
        image.thumbnail((_PREVIEW_PIXELS, _PREVIEW_PIXELS))
        image.save(Path(folder) / f"{stem}+compressed.webp")
        for file in Path(folder).iterdir():
            place.client.log_artifact(place.run, str(file), "images")
    place.client.set_tag(place.run, _IMAGES_TAG, "true")


def _log_dataset(place: Place, record: Mapping[str, Any]) -> None:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=record["name"],
        digest=record["digest"],
        source_type="curriculum_search",
        source=json.dumps(record["source"]),
        profile=json.dumps({"summary": record["summary"]}),
    )
    place.client.log_inputs(place.run, [DatasetInput(dataset, [InputTag("mlflow.data.context", "train")])])


def _log_model(place: Place, record: Mapping[str, Any]) -> None:
    """A model whose weights are elsewhere, with values that stand for all of its runs."""
    from mlflow.entities import LoggedModelOutput, Metric

    client, time = place.client, round(record["time"] * 1000)
    model = _model(place, record)
    dataset = record["dataset"]
    metrics = [
        Metric(
            name,
            value,
            time,
            record["images"],
            model_id=model.model_id,
            dataset_name=dataset["name"],
            dataset_digest=dataset["digest"],
            run_id=place.run,
        )
        for name, value in record["values"].items()
    ]
    client.log_batch(place.run, metrics)
    outputs = client.get_run(place.study_run).outputs
    if model.model_id not in {output.model_id for output in (outputs.model_outputs if outputs else ())}:
        client.log_outputs(place.study_run, [LoggedModelOutput(model.model_id, step=0)])


def _model(place: Place, record: Mapping[str, Any]) -> "LoggedModel":
    """The model of an arm, made if need be."""
    from mlflow.entities import LoggedModelStatus

    client, arm = place.client, record["arm"]
    found = client.search_logged_models(
        [place.experiment_id], filter_string=f"tags.`{STUDY_TAG}` = '{place.study_id}'", max_results=1000
    )
    for model in found:
        if model.tags.get(_ARM_TAG) == arm and model.source_run_id == place.run:
            return model
    made = client.create_logged_model(
        place.experiment_id,
        name=" ".join(re.sub(r"""[/:."']""", " ", record["name"].replace("%", "percent")).split()),
        source_run_id=place.run,
        tags={STUDY_TAG: place.study_id, _ARM_TAG: arm},
        params=dict(record["params"]),
        model_type="curriculum",
    )
    return client.finalize_logged_model(made.model_id, LoggedModelStatus.READY)
