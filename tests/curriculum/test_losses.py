"""Losses on their way from the device to a decision: what a window holds, and how it is saved in the middle."""

import json

import numpy as np
import pytest
import torch

from curriculum_search.curriculum.losses import LossHistory, LossTrace


def add(trace: LossTrace, *losses: float) -> None:
    trace.add(torch.tensor(losses), shared=False)


def test_the_steps_of_a_window_are_read_together_when_it_is_full() -> None:
    trace = LossTrace(window_steps=3)
    readings = []
    for step in range(1, 7):
        add(trace, float(step), step + 2.0)
        readings.append(trace.end_step(10 * step))
    first, second = ((10, 2.0), (20, 3.0), (30, 4.0)), ((40, 5.0), (50, 6.0), (60, 7.0))
    assert readings == [(), (), first, (), (), second]


def test_several_calls_in_a_step_add_up_to_the_mean_over_their_samples() -> None:
    trace = LossTrace(window_steps=1)
    add(trace, 1.0, 1.0, 1.0)
    add(trace, 5.0)
    assert trace.end_step(4) == ((4, 2.0),)


def test_a_step_without_a_loss_is_left_out_of_the_window() -> None:
    trace = LossTrace(window_steps=3)
    add(trace, 1.0)
    trace.end_step(10)
    trace.end_step(20)
    add(trace, 3.0)
    assert trace.end_step(30) == ((10, 1.0), (30, 3.0))


def test_a_window_that_is_cleared_begins_anew() -> None:
    trace = LossTrace(window_steps=2)
    add(trace, 9.0)
    trace.end_step(10)
    trace.clear()
    add(trace, 1.0)
    assert trace.end_step(20) == ()
    add(trace, 2.0)
    assert trace.end_step(30) == ((20, 1.0), (30, 2.0))


def test_silent_steps_are_counted_across_windows_that_are_cleared() -> None:
    trace = LossTrace(window_steps=3)
    add(trace, 1.0)
    trace.end_step(10)
    for images in (20, 30):
        trace.end_step(images)
        trace.clear()
    with pytest.raises(ValueError, match="gate watches the loss, but none of the last 3 steps had one: pass every"):
        trace.end_step(40)


def test_stages_that_are_over_before_any_loss_was_heard_are_an_error() -> None:
    trace = LossTrace(window_steps=8)
    trace.end_step(10)
    with pytest.raises(ValueError, match="none of the last 1 steps had one"):
        trace.end()
    heard = LossTrace(window_steps=8)
    add(heard, 1.0)
    heard.end()


@pytest.mark.parametrize("stop", range(1, 10))
def test_a_trace_saved_in_the_middle_of_a_window_or_a_step_goes_on_as_if_never_stopped(stop: int) -> None:
    def step(trace: LossTrace, n: int) -> tuple[tuple[int, float], ...]:
        if n % 3:
            add(trace, n + 1 / 3)
        return trace.end_step(n)

    whole, part, resumed = (LossTrace(window_steps=4) for _ in range(3))
    for n in range(stop):
        assert step(whole, n) == step(part, n)
    for trace in (whole, part):
        add(trace, 0.1)  # of the step under way
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert resumed.state_dict() == part.state_dict()
    assert [step(resumed, n) for n in range(stop, 20)] == [step(whole, n) for n in range(stop, 20)]


def restored(trace: LossTrace, window_steps: int) -> LossTrace:
    again = LossTrace(window_steps)
    again.load_state_dict(json.loads(json.dumps(trace.state_dict())))
    return again


def test_silence_before_a_state_was_saved_counts_after_it_is_restored() -> None:
    trace = LossTrace(window_steps=3)
    trace.end_step(10)
    trace.end_step(20)
    with pytest.raises(ValueError, match="none of the last 3 steps had one"):
        restored(trace, 3).end_step(30)


def test_a_loss_of_the_step_in_which_a_state_was_saved_is_heard_when_the_step_ends() -> None:
    trace = LossTrace(window_steps=1)
    add(trace, 7.0)
    assert restored(trace, 1).end_step(10) == ((10, 7.0),)


def history(window_steps: int = 1) -> LossHistory:
    return LossHistory(num_bins=2, length=3, window_steps=window_steps)


def tell(losses: LossHistory, q: list[float], values: list[float]) -> bool:
    losses.add(torch.tensor(q), torch.tensor(values), shared=False)
    return losses.end_step()


def test_a_bin_holds_its_last_losses_and_nan_where_it_has_not_seen_as_many() -> None:
    losses = history()
    tell(losses, [0.1, 0.9, 0.4], [1.0, 10.0, 2.0])
    np.testing.assert_array_equal(np.sort(losses.losses), [[1, 2, np.nan], [10, np.nan, np.nan]])
    tell(losses, [0.2, 0.3], [3.0, 4.0])
    np.testing.assert_array_equal(np.sort(losses.losses), [[2, 3, 4], [10, np.nan, np.nan]])


def test_of_more_losses_at_once_than_a_bin_holds_the_last_stay() -> None:
    losses = history()
    tell(losses, [0.1] * 7 + [0.7], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
    np.testing.assert_array_equal(np.sort(losses.losses), [[5, 6, 7], [8, np.nan, np.nan]])


def test_q_of_one_belongs_to_the_last_bin() -> None:
    losses = history()
    tell(losses, [1.0, 0.5], [1.0, 2.0])
    np.testing.assert_array_equal(np.sort(losses.losses)[1], [1, 2, np.nan])


def test_losses_count_from_the_end_of_their_window() -> None:
    losses = history(window_steps=2)
    assert not tell(losses, [0.1], [1.0])
    assert np.isnan(losses.losses).all()
    assert losses.end_step()  # which had none of its own
    assert losses.losses[0, 0] == 1.0


def test_a_whole_window_without_a_loss_is_an_error() -> None:
    losses = history(window_steps=2)
    losses.end_step()
    with pytest.raises(ValueError, match="density follows the loss, but none of the last 2 steps had one"):
        losses.end_step()


@pytest.mark.parametrize("stop", range(1, 8))
def test_a_history_saved_in_the_middle_of_a_window_goes_on_as_if_never_stopped(stop: int) -> None:
    def step(losses: LossHistory, n: int) -> bool:
        random = np.random.default_rng(n)
        return tell(losses, random.random(4).tolist(), random.random(4).tolist())

    whole, part, resumed = (history(window_steps=3) for _ in range(3))
    for n in range(stop):
        assert step(whole, n) == step(part, n)
    resumed.load_state_dict(json.loads(json.dumps(part.state_dict())))
    assert [step(resumed, n) for n in range(stop, 12)] == [step(whole, n) for n in range(stop, 12)]
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    assert not np.isnan(whole.losses).any()
