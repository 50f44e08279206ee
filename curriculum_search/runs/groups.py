"""Groups of workers that stay up from trial to trial, and the trials that they do.

Ray Train starts a group, places it, and sees whether its processes live.  It has no way to keep one for the next
trial; so what it runs in each worker (`worker.run_member`) takes job after job from a mailbox, and a trial of Tune's
does nothing but put its job there and hand on what it hears.  A group that breaks is replaced when the next trial
needs one.

Where a run may have fewer or more workers, its group is as large as there is room for when it is started, which is also
how it shrinks and grows: a group that lost a worker is replaced by one that fits, and one that could be larger is asked
to save its run and leave.
"""

import asyncio
import contextlib
import itertools
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from curriculum_search.runs import placement
from curriculum_search.runs.mailbox import DIVERGED, End, Mailbox
from curriculum_search.runs.notices import Stopped, ask_group_to_leave, forget_group

if TYPE_CHECKING:
    from curriculum_search.experiment import Resources

#: A resource of the head node alone: what only waits for others is there, and takes no processor.
HEAD = "node:__internal_head__"

_ANSWER_SECONDS = 10.0
_ROOM_SECONDS = 20.0  # that there has to be room for more workers, before a group is asked to leave for a larger one

#: Ray Train looks at its workers so often, and learns of a death no sooner.  Its own watch of drained nodes, an actor
#: a group, is not needed: `notices` are heard by each worker.
_SETTINGS = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25", "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0"}


def run_group_trial(config: dict[str, Any]) -> None:
    """The function that Tune runs for a trial of several workers: has the group ``config["group"]`` train
    ``config["job"]``, its job ``config["number"]``, and reports to Tune what that says."""
    mailbox, number = ray.get_actor(config["group"]), config["number"]
    ray.get(mailbox.put.remote(number, config["job"]))
    for taken in itertools.count():
        heard = ray.get(mailbox.hear.remote(number, taken))
        if isinstance(heard, End):
            break
        tune.report(heard)
    if heard.error is not None:
        raise heard.error
    if heard.diverged:
        tune.report({"images": 0, DIVERGED: heard.diverged})


class GroupHome(Mailbox):
    """An actor: a group's mailbox, and whoever waits for Ray Train to be done with the group."""

    def __init__(self, name: str, size: int) -> None:
        super().__init__(size)
        self._name = name

    async def run(self, per_worker: dict[str, float], storage: str) -> None:
        """Start the group, and return when it has ended.

        Args:
            per_worker: what Ray gives each worker.
            storage: a folder for Ray Train's own files, on storage that all nodes see.
        """
        try:
            await asyncio.to_thread(_fit, self._name, self._size, per_worker, storage)
        except BaseException as error:
            await self.broke(error)
        else:
            await self.broke(RuntimeError("the group of workers has ended"))

    def gave_up(self) -> None:
        placement.remove(self._name)


def _fit(name: str, size: int, per_worker: dict[str, float], storage: str) -> None:
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from curriculum_search.runs.worker import run_member

    os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
    TorchTrainer(
        run_member,
        train_loop_config={"group": name},
        scaling_config=ScalingConfig(
            num_workers=size, use_gpu=bool(per_worker.get("GPU")), resources_per_worker=per_worker
        ),
        run_config=RunConfig(
            name=name,
            storage_path=storage,
            failure_config=FailureConfig(max_failures=0),  # it is the driver that starts another
        ),
    ).fit()


@dataclass
class _Group:
    """A group as its driver has it."""

    name: str
    resources: "Resources"
    size: int  #: workers
    storage: Path
    home: Any
    ended: Any  #: what is ready when the group has ended
    number: int = 0  #: of its last job
    trial: str | None = None  #: that it works for
    sizes: Sequence[int] = ()  #: that a group of this trial may have, where that can change while it runs
    roomy_since: float | None = None  #: since when there has been room for a larger one
    is_leaving: bool = False


class Groups:
    """The groups of a command.  Every method is called in its driver."""

    def __init__(self) -> None:
        self._groups: dict[str, _Group] = {}

    def has_room(self, resources: "Resources", slots: int) -> bool:
        """Whether there is room for the fewest workers of another run beside those that run."""
        return slots - self._num_busy >= resources.fewest_workers

    def assign(
        self,
        trial: str,
        resources: "Resources",
        storage: Path,
        *,
        sizes: Sequence[int],
        slots: int,
        resizes: bool = True,
    ) -> dict[str, Any]:
        """Give a trial a group, an idle one if there is one; what `run_group_trial` needs to know of it.

        Args:
            trial: its name.
            resources: of its workers.
            storage: for files of Ray Train's, on storage that all nodes see.
            sizes: numbers of workers that it may have, the least first.
            slots: workers that the cluster has room for, busy or not.
            resizes: whether it may go on in a group of another size.
        """
        idle = [group for group in self._groups.values() if group.trial is None and group.resources == resources]
        self._end(gone := [group for group in idle if _is_ready(group.ended)])
        idle = [group for group in idle if group not in gone]
        room = slots - self._num_busy
        size = _largest(sizes, room)
        group = next((group for group in idle if group.size == size), None)
        group = group or self._start(resources, size, storage)
        group.trial, group.sizes, group.roomy_since = trial, sizes if resizes else (), None
        group.number += 1
        self._end_idle(slots)
        return {"group": group.name, "number": group.number, "size": size, "waits": size > room}

    def fit(self, slots: int, *, grow: bool = True) -> None:
        """Have each group that may be larger or smaller be of the size that there is room for.

        One that waits for more workers than there is room for gives up at once; one that could be larger is asked to
        leave when that has been so for a while, one at a time.  Idle ones make room for those that have a trial.

        Args:
            slots: workers that the cluster has room for, busy or not.
            grow: whether nobody else waits for room.
        """
        self._end_idle(slots)
        for group in self._groups.values():
            if group.trial is None or len(group.sizes) < 2 or group.is_leaving:
                continue
            size = _largest(group.sizes, room := slots - self._num_busy + group.size)
            if size < group.size and size <= room and not _has_begun(group):
                group.is_leaving = True
                group.home.broke.remote(Stopped(f"there is room for {_workers(size)}, not {group.size}", None))
            elif size <= group.size or not grow:
                group.roomy_since = None
            elif group.roomy_since is None:
                group.roomy_since = time.monotonic()
            elif time.monotonic() - group.roomy_since >= _ROOM_SECONDS and _has_begun(group):
                group.is_leaving = True
                ask_group_to_leave(group.name, f"there is room for {_workers(size)} now, and it has {group.size}")
                return

    def stop(self, trial: str) -> None:
        """Have the group of a trial leave its job, and take it back."""
        if (group := self._of(trial)) is not None:
            group.home.stop.remote(group.number)
            self._free(group)

    def take_back(self, trial: str, *, failed: bool) -> None:
        """Take the group of a trial that has ended back.

        Args:
            trial: its name.
            failed: whether the group has to be asked if it can go on.
        """
        if (group := self._of(trial)) is not None:
            self._free(group)
            if failed and not group.is_leaving and not _is_usable(group):
                self._end([group])

    def discard(self, trial: str) -> None:
        """End the group of a trial that is over, whatever it is at."""
        if (group := self._of(trial)) is not None:
            self._end([group])

    def make_room(self, resources: "Resources") -> None:
        """End all groups whose workers have other resources than those of the next trials."""
        self._end(group for group in self._groups.values() if group.resources != resources)

    def end_busy(self) -> None:
        """End the groups whose trials have not come to an end."""
        self._end(group for group in self._groups.values() if group.trial is not None)

    def close(self) -> None:
        """End all groups."""
        self._end(self._groups.values())

    def _free(self, group: _Group) -> None:
        """Have a group wait for its next trial; one that has been asked to leave would leave that one."""
        group.trial = None
        if group.is_leaving:
            self._end([group])

    def _end_idle(self, slots: int) -> None:
        """End idle groups that hold what one with a trial may be waiting for."""
        idle = [group for group in self._groups.values() if group.trial is None]
        while idle and self._num_busy + sum(group.size for group in idle) > slots:
            self._end([idle.pop()])

    @property
    def _num_busy(self) -> int:
        """Workers of the groups that have a trial."""
        return sum(group.size for group in self._groups.values() if group.trial is not None)

    def _of(self, trial: str) -> _Group | None:
        return next((group for group in self._groups.values() if group.trial == trial), None)

    def _start(self, resources: "Resources", size: int, storage: Path) -> _Group:
        name = f"group-{uuid.uuid4().hex[:12]}"
        per_worker: dict[str, float] = {"CPU": resources.cpus_per_worker}
        if resources.gpus_per_worker:
            per_worker["GPU"] = resources.gpus_per_worker
        actor: Any = ray.remote(GroupHome)
        home = actor.options(name=name, num_cpus=0, resources={HEAD: 0.001}).remote(name, size)
        self._groups[name] = _Group(
            name=name,
            resources=resources,
            size=size,
            storage=storage / name,
            home=home,
            ended=home.run.remote(per_worker, str(storage.resolve())),
        )
        return self._groups[name]

    def _end(self, groups: Iterable[_Group]) -> None:
        for group in list(groups):
            del self._groups[group.name]
            with contextlib.suppress(Exception):  # It may be gone, and Ray with it.
                ray.kill(group.home)  # and with it Ray Train's controller and the workers, which it has started
                placement.remove(group.name)
                forget_group(group.name)
            shutil.rmtree(group.storage, ignore_errors=True)


def _largest(sizes: Sequence[int], room: int) -> int:
    """The largest of some sizes that there is room for, or else the least, which then waits."""
    return max((size for size in sizes if size <= room), default=sizes[0])


def _workers(number: int) -> str:
    return f"{number} worker{'s' * (number != 1)}"


def _has_begun(group: _Group) -> bool:
    try:
        return bool(ray.get(group.home.begun.remote(group.number), timeout=_ANSWER_SECONDS))
    except Exception:
        return True  # What has become of it is told by its trial.


def _is_ready(reference: Any) -> bool:
    return bool(ray.wait([reference], timeout=0)[0])


def _is_usable(group: _Group) -> bool:
    try:
        return bool(ray.get(group.home.usable.remote(), timeout=_ANSWER_SECONDS))
    except Exception:
        return False
