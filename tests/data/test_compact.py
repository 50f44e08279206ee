"""Lists that take little memory are the lists that they were made of."""

import numpy as np
import pytest

from curriculum_search.data.compact import CompactNames, compact_integers

NAMES = [f"{i // 100:05d}/img{i:08d}.png" for i in range(1000)]


@pytest.mark.parametrize("names", [[], ["a"], ["", "a\nb", "caf\udce9", "ü/\\.png"], NAMES, NAMES[:64]])
def test_names_are_given_back_in_their_order(names: list[str]) -> None:
    compact = CompactNames(iter(names))
    assert len(compact) == len(names)
    assert list(compact) == names
    assert [compact[i] for i in range(-len(names), len(names))] == [*names, *names]
    assert compact[1:70:3] == names[1:70:3]
    with pytest.raises(IndexError):
        compact[len(names)]


@pytest.mark.parametrize(
    ("values", "kind"), [([], np.uint8), ([0, 255], np.uint8), ([256], np.uint16), ([2**32 - 1, 3], np.uint32)]
)
def test_integers_have_the_smallest_type_that_holds_them(values: list[int], kind: type) -> None:
    compact = compact_integers(values)
    assert compact.dtype == kind
    assert compact.tolist() == values
    assert compact_integers([2**32]).tolist() == [2**32]
