"""The form of diffusers_flow, with the curriculum's own density of noise levels."""

from functools import partial
from types import SimpleNamespace

from adapters.loops import diffusers_flow
from diffusers import FlowMatchEulerDiscreteScheduler

from curriculum_search.adapters import DiffusersSigmas


def made(
    args: SimpleNamespace, noise_scheduler_copy: FlowMatchEulerDiscreteScheduler, total_batch_size: int
) -> DiffusersSigmas:
    # [docs] instead of curriculum = DiffusersFlowMatching(...)
    curriculum = DiffusersSigmas(
        "curriculum.json", noise_scheduler_copy, total_images=args.max_train_steps * total_batch_size
    )
    # [/docs]
    return curriculum  # noqa: RET504


train = partial(diffusers_flow.train, made=made)
