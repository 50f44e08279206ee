"""How a study's page in MLflow opens."""

import json

from curriculum_search.tracking.views import arms_view, page

VIEW = {
    "metric": "fd_250",
    "others": ["kid"],
    "ascending": False,
    "phase": "confirmation",
    "arms": ["a", "b / exposure"],
}


def test_the_view_groups_the_runs_of_one_study_by_arm_and_has_the_deciding_metric_first() -> None:
    view = arms_view("id", VIEW)
    assert view["searchFilter"] == (
        "tags.`curriculum_search.study` = 'id' AND tags.arm != '' AND tags.phase = 'confirmation'"
    )
    assert "phase" not in arms_view("id", VIEW | {"phase": ""})["searchFilter"]
    assert (view["orderByKey"], view["orderByAsc"]) == ("metrics.`end_fd_250`", False)
    assert view["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    assert view["groupsExpanded"] == {"tag.arm.a": False, "tag.arm.b / exposure": False}
    assert [(chart["type"], chart["metricKey"]) for chart in view["compareRunCharts"]] == [
        ("LINE", "fd_250"),
        ("BAR", "end_fd_250"),
        ("BAR", "kid"),
    ]
    sections = {section["uuid"] for section in view["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in view["compareRunCharts"]} == sections
    assert view["selectedColumns"][:2] == ["metrics.`end_fd_250`", "metrics.`kid`"]


def test_the_view_of_a_study_with_many_arms_still_fits_into_a_tag() -> None:
    arms = [f"trial {i}, with some settings" for i in range(500)]
    assert len(json.dumps(arms_view("i" * 32, VIEW | {"arms": arms}))) <= 5000


def test_the_address_opens_the_pages_for_training_and_the_view_and_tells_no_password() -> None:
    server = page("https://me:secret@host/", "7", "a study", is_server=True)
    assert server == (
        "https://me:***@host/#/experiments/7/runs?workflowType=machine_learning"
        "&viewStateShareKey=a%20study&compareRunsMode=CHART"
    )
    local = page("sqlite:////my results/mlflow.db", "7", "", is_server=False)
    assert local == (
        "mlflow ui --backend-store-uri 'sqlite:////my results/mlflow.db'  # "
        "http://127.0.0.1:5000/#/experiments/7/runs?workflowType=machine_learning"
    )
