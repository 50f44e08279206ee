"""What a cluster holds for the workers of a group, so that it can be given back whoever has died."""

import ray
from ray import PlacementGroupID
from ray.experimental.internal_kv import _internal_kv_del, _internal_kv_get, _internal_kv_put
from ray.util.placement_group import PlacementGroup

_NAMESPACE = "curriculum-search"  # of what the cluster remembers for us


def remember(name: str) -> None:
    """Have the cluster remember what it holds for a group, of whose processes this is one.

    Ray Train has an actor that gives it back, but where a node lacks memory Ray kills that one with the others.  Then
    the processors would be held for ever.

    Args:
        name: of the group.
    """
    held = ray.util.get_current_placement_group()
    if held is not None:
        _internal_kv_put(f"placement/{name}", held.id.hex().encode(), namespace=_NAMESPACE)


def remove(name: str) -> None:
    """Give back what the cluster holds for a group, if it still does: its processes end."""
    if (held := _internal_kv_get(f"placement/{name}", namespace=_NAMESPACE)) is not None:
        ray.util.remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(held.decode()))))
        _internal_kv_del(f"placement/{name}", namespace=_NAMESPACE)
