"""What is known of a run at a moment, and the reports that it makes."""

from curriculum_search.trainers.view import View

VIEW = View(
    images=160,
    step_images=16,
    seconds=4.0,
    train_loss=0.5,
    stage=2,
    unlocked_share=0.5,
    switches=({"images": 0, "stage": 1, "reason": "start"}, {"images": 96, "stage": 2, "reason": "schedule"}),
    exposure={"edges": [0.0, 1.0], "mass": [1.0]},
)


def test_a_view_crosses_borders_between_processes() -> None:
    assert View.from_json(VIEW.to_json()) == VIEW


def test_each_switch_is_in_one_report_and_the_exposure_in_the_last() -> None:
    early = View(**{**vars(VIEW), "images": 80, "seconds": 1.0, "switches": VIEW.switches[:1], "train_loss": None})
    first = early.report({"fid": 3.0}, images=80, final=False, earlier=[])
    second = VIEW.report({"fid": 2.0}, images=160, final=True, earlier=[first])
    assert (first.switches, second.switches) == (VIEW.switches[:1], VIEW.switches[1:])
    assert (first.exposure, second.exposure) == ({}, VIEW.exposure)
    assert "train_loss" not in first.metrics
    assert second.metrics == {
        "fid": 2.0,
        "train_loss": 0.5,
        "images_per_second": 80 / 3.0,
        "train_seconds": 4.0,
        "stage": 2.0,
        "unlocked_share": 0.5,
    }
