"""What a mailbox does with the calls of workers, trials and drivers, in whatever order they come."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from curriculum_search.runs import mailbox
from curriculum_search.runs.mailbox import End, Mailbox

ONE = {"key": "one"}


def play(scene: Callable[[Mailbox], Awaitable[Any]], box: Mailbox | None = None) -> Any:
    async def all_of_it() -> Any:
        return await asyncio.wait_for(scene(box or Mailbox(2)), timeout=10)

    return asyncio.run(all_of_it())


async def soon(call: Awaitable[Any]) -> asyncio.Task[Any]:
    """Begin a call, and let it come as far as it can."""
    task = asyncio.ensure_future(call)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


def test_workers_get_the_job_of_their_number_when_it_is_there() -> None:
    async def scene(box: Mailbox) -> None:
        early = await soon(box.take(1))
        assert not early.done()
        await box.put(1, ONE)
        assert await early == await box.take(1) == ONE
        idle = await soon(box.take(2))
        assert not idle.done()
        idle.cancel()

    play(scene)


def test_a_worker_waits_until_what_it_says_is_handed_on() -> None:
    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        saying = await soon(box.say(1, {"images": 16}))
        assert await box.hear(1, 0) == {"images": 16}
        assert not saying.done()
        hearing = await soon(box.hear(1, 1))
        assert await saying is False
        await asyncio.gather(box.settle(1, 0), box.settle(1, 1))
        assert await hearing == End()

    play(scene)


def test_what_one_worker_says_for_itself_is_not_waited_for_and_what_all_say_is_handed_on_once() -> None:
    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        gone, back = {"remarks": "gone"}, {"remarks": "back"}
        for rank, message in ((1, gone), (0, gone), (0, back), (0, gone), (1, back), (1, gone), (1, gone)):
            await box.add(1, rank, message)
        assert [await box.hear(1, taken) for taken in range(4)] == [gone, back, gone, gone]
        hearing = await soon(box.hear(1, 4))
        assert not hearing.done()
        await box.add(7, 0, gone)  # of a job that is forgotten
        await asyncio.gather(box.settle(1, 0), box.settle(1, 1))
        assert await hearing == End()

    play(scene)


def test_a_job_that_is_stopped_is_left_at_what_it_says_next() -> None:
    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        saying = await soon(box.say(1, {"images": 16}))
        await box.hear(1, 0)
        await box.stop(1)
        assert await saying is True
        assert not any(await asyncio.gather(box.settle(1, 0), box.settle(1, 1)))
        assert await box.usable()

    play(scene)


def test_a_job_that_fails_in_one_worker_has_failed_in_all_for_the_first_reason_that_is_known() -> None:
    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        saying = await soon(box.say(1, {"images": 16}))
        await box.fail(1, End(error=ValueError("asked to"), knows_why=False))
        await box.fail(1, End(error=ValueError("the cause")))
        await box.fail(1, End(error=ValueError("connection closed")))
        assert await saying is True
        assert await box.hear(1, 0) == {"images": 16}
        hearing = await soon(box.hear(1, 1))
        assert not hearing.done()  # before all workers have left it
        assert all(await asyncio.gather(box.settle(1, 0), box.settle(1, 1)))
        assert str((await hearing).error) == "the cause"
        meeting = await soon(box.meet(1, None))
        assert await box.meet(1, ("node", 7)) == await meeting == ("node", 7)
        assert await box.usable()

    play(scene)


def test_the_death_of_a_worker_is_told_rather_than_what_it_does_to_the_others() -> None:
    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        await box.fail(1, End(error=ValueError("connection closed")))
        await soon(box.settle(1, 0))
        hearing = await soon(box.hear(1, 0))
        await box.broke(RuntimeError("it died"))
        assert str((await hearing).error) == "it died"
        assert not await box.usable()

    play(scene)


def test_a_group_whose_workers_do_not_leave_a_failed_job_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mailbox, "SETTLE_SECONDS", 0.01)
    given_up = []

    class Watched(Mailbox):
        def gave_up(self) -> None:
            given_up.append(True)

    async def scene(box: Mailbox) -> None:
        await box.put(1, ONE)
        await box.fail(1, End(error=ValueError("the cause")))
        await soon(box.settle(1, 0))
        assert str((await box.hear(1, 0)).error) == "the cause"  # type: ignore[union-attr]
        await asyncio.sleep(0.05)
        assert given_up
        assert not await box.usable()

    play(scene, Watched(2))
