"""What the journal of a study may say.

Every record has ``run`` (the run's key), ``kind`` and ``time`` (seconds since 1970):

    start     name, params, tags        the run begins, or goes on
    metrics   images, metrics           values at so many images seen
    tags      tags
    artifact  path, folder              a file to copy into the run's artifacts; relative to the study's folder
    image     path, name, images        an image after so many images seen
    dataset   name, digest, source, summary    what it is trained on
    model     arm, name, params, values, images, dataset    a confirmed arm, with what its seeds say together
    view      name, view                how the study's page opens (`views.arms_view`)
    end       status, images, metrics   how it ended, and values that stand for the whole run
"""

from curriculum_search.tracking.run_log import Line

#: What a record of each kind must have to be one.
FIELDS = {
    "study": ("id",),
    "start": ("name", "time"),
    "metrics": ("images", "metrics", "time"),
    "tags": ("tags",),
    "artifact": ("path", "folder"),
    "image": ("path", "name", "images", "time"),
    "dataset": ("name", "digest", "source", "summary"),
    "model": ("arm", "name", "params", "values", "images", "dataset", "time"),
    "view": ("name", "view"),
    "end": ("status", "time"),
}


def flaw(line: Line) -> str:
    """Why a line of the journal is no record; nothing, if it is one."""
    try:
        record = line.record
    except ValueError as error:
        return str(error)
    fields = FIELDS.get(record.get("kind", ""))
    if fields is None or "run" not in record:
        return "no record of a run"
    missing = [name for name in fields if name not in record]
    return f"has no {missing[0]}" if missing else ""
