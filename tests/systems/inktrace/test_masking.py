import numpy as np
import pytest

from holdfast.systems.inktrace.fields import draw_fields
from holdfast.systems.inktrace.masking import Kind, draw_mask

from .drawings import drawing

SKELETON = draw_fields(drawing(3, level=6, size=64), 64).skeleton[0]


def test_blocks_are_hidden_whole_and_as_many_as_the_ratio_says():
    mask = draw_mask("block", 0.6, SKELETON, 1)
    blocks = mask.reshape(8, 8, 8, 8).mean(axis=(1, 3))
    assert set(np.unique(blocks)) == {0, 1}
    assert blocks.sum() == round(0.6 * 64)


def test_pixels_are_hidden_one_by_one_and_as_many_as_the_ratio_says():
    mask = draw_mask("pixel", 0.6, SKELETON, 1)
    assert mask.sum() == round(0.6 * 64 * 64)
    assert set(np.unique(mask.reshape(8, 8, 8, 8).mean(axis=(1, 3)))) - {0, 1}


@pytest.mark.parametrize("ratio", [0.1, 0.3, 0.6, 0.9])
def test_strokes_are_hidden_in_stretches_until_the_ratio_is_reached(ratio: float):
    on = SKELETON > 0
    for key in range(10):
        mask = draw_mask("stroke", ratio, SKELETON, key)
        share = mask[on].mean()
        # The last stretch may go beyond, by no more than itself.
        assert ratio <= share <= ratio + 30 / on.sum()
        assert mask.sum() < 0.35 * mask.size, "where there is no stroke, nothing is hidden"


def test_a_picture_without_strokes_has_none_to_hide():
    assert not draw_mask("stroke", 0.6, np.zeros((32, 32), np.float32), 1).any()


@pytest.mark.parametrize("kind", ["block", "pixel", "stroke"])
def test_a_mask_is_a_function_of_its_key(kind: Kind):
    mask = draw_mask(kind, 0.5, SKELETON, 1)
    assert (mask == draw_mask(kind, 0.5, SKELETON, 1)).all()
    assert (mask != draw_mask(kind, 0.5, SKELETON, 2)).any()
