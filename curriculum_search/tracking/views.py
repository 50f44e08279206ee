"""How a study's page in MLflow opens: by an address that says what MLflow otherwise has in the user's browser.

MLflow opens its pages for traces of language models, and hides the runs below a study's own.  An address with a
``workflowType`` opens those for training, and one with a ``viewStateShareKey`` a view that is kept in a tag of the
experiment: here the runs of a study grouped by arm, each group with its mean.
"""

import shlex
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from curriculum_search.tracking.database import shown

VIEW_TAG = "mlflow.sharedViewState."
_SECTION = "arms"
_LOCAL = "http://127.0.0.1:5000"
_MOST_GROUPS = 40  # that are named in the view: a tag has at most 5,000 characters


def page(uri: str, experiment_id: str, view: str, *, is_server: bool) -> str:
    """What shows an experiment: the address of its page, and for a database the command that opens it before."""
    query = "workflowType=machine_learning"
    if view:
        query += f"&viewStateShareKey={quote(view, safe='')}&compareRunsMode=CHART"
    root = shown(uri).rstrip("/") if is_server else _LOCAL
    address = f"{root}/#/experiments/{experiment_id}/runs?{query}"
    return address if is_server else f"mlflow ui --backend-store-uri {shlex.quote(shown(uri))}  # {address}"


def arms_view(study_id: str, view: Mapping[str, Any]) -> dict[str, Any]:
    """The runs of a study by arm, as MLflow's page keeps a view.

    Args:
        study_id: of the study.
        view: `metric` decides, `others` stand beside it, `ascending` tells whether less is better, `phase` is that
            whose runs are shown ("": all), `arms` are those that are folded up.
    """
    metric, others = view["metric"], view["others"]
    runs = f"tags.`curriculum_search.study` = '{study_id}' AND tags.arm != ''"
    if view["phase"]:
        runs += f" AND tags.phase = '{view['phase']}'"
    charts = [_chart("LINE", metric), _chart("BAR", f"end_{metric}"), *(_chart("BAR", other) for other in others)]
    return {
        "searchFilter": runs,
        "orderByKey": f"metrics.`end_{metric}`",
        "orderByAsc": view["ascending"],
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in (f"end_{metric}", *others)),
            *(f"params.`{name}`" for name in ("order", "clusters", "pacing", "learning_rate", "seed")),
            *(f"attributes.`{name}`" for name in ("Dataset", "Models", "Source")),
        ],
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]},
        "groupsExpanded": {f"tag.arm.{arm}": False for arm in view["arms"][:_MOST_GROUPS]},
        "runsHiddenMode": "SHOW_ALL",
        "useGroupedValuesInCharts": True,
        "compareRunSections": [{"uuid": _SECTION, "name": "Arms, means over seeds", "display": True, **_OURS}],
        "compareRunCharts": charts,
    }


_OURS = {"isReordered": False, "deleted": False, "isGenerated": False}


def _chart(kind: str, metric: str) -> dict[str, Any]:
    chart: dict[str, Any] = {
        "uuid": f"{kind} {metric}",
        "type": kind,
        "metricSectionId": _SECTION,
        "metricKey": metric,
        "displayName": metric,
        "runsCountToCompare": 20,
        "deleted": False,
        "isGenerated": False,
    }
    if kind == "LINE":
        chart |= {
            "selectedMetricKeys": [metric],
            "lineSmoothness": 0,
            "xAxisKey": "step",
            "xAxisScaleType": "linear",
            "scaleType": "log",
            "range": {},
            "yAxisKey": "metric",
            "yAxisExpressions": [],
            "ignoreOutliers": False,
            "useGlobalXaxisKey": True,
            "useGlobalLineSmoothing": True,
        }
    return chart
