import numpy as np
import pytest

from holdfast.systems.inktrace.fields import draw_fields, draw_image

from .drawings import drawing, straight


def test_the_ink_of_a_stroke_is_as_wide_as_its_width_says():
    image = draw_image([straight((6.0, 16.0), (26.0, 16.0), width=4.0)], 32)[0]
    assert image[:, 16].sum() == pytest.approx(4.0)
    assert (image[14:18, 8:24] == 1).all()
    assert image[:12].sum() == image[21:].sum() == 0


def test_edges_are_soft_and_values_are_shares_of_four():
    values = np.unique(np.concatenate([draw_image(drawing(index), 32) for index in range(8)]))
    assert values.tolist() == [0, 0.25, 0.5, 0.75, 1]


def test_ink_over_the_edge_of_the_picture_is_cut_off():
    image = draw_image([straight((2.0, 31.5), (30.0, 31.5), width=5.0)], 32)[0]
    assert image[:16].sum() == 0
    assert (image[30:, 4:28] == 1).all()


def test_fields_say_where_a_stroke_is_and_how_it_runs():
    fields = draw_fields([straight((5.25, 7.75), (20.25, 7.75), width=3.0)], 32)
    assert np.argwhere(fields.skeleton[0]).tolist() == [[7, column] for column in range(5, 21)]
    on = fields.skeleton[0] > 0
    assert np.allclose(fields.tangent[:, on], [[1.0], [0.0]], atol=1e-6)
    assert np.allclose(fields.width[0][on], 0.3)
    assert np.allclose(fields.offset[1][on], 0.25)


@pytest.mark.parametrize(
    "start, end, double", [((5, 5), (20, 20), (0, 1)), ((20, 20), (5, 5), (0, 1)), ((9, 4), (9, 20), (-1, 0))]
)
def test_a_direction_is_the_same_as_its_opposite(start, end, double):
    fields = draw_fields([straight(start, end)], 32)
    assert np.allclose(fields.tangent[:, fields.skeleton[0] > 0].T, double, atol=1e-6)


@pytest.mark.parametrize("level", range(10))
def test_everything_but_key_points_is_zero_off_the_skeleton_and_within_its_limits_on_it(level: int):
    fields = draw_fields(drawing(level, level=level, size=64), 64)
    off = fields.skeleton[0] == 0
    for field in (fields.tangent, fields.width, fields.offset):
        assert (field[:, off] == 0).all()
    assert np.allclose(np.linalg.norm(fields.tangent, axis=0)[~off], 1, atol=1e-6)
    assert np.abs(fields.offset).max() <= 0.5
    assert fields.width[0][~off].min() > 0 and fields.width.max() <= 0.5
    assert {array.dtype for array in fields} == {np.dtype(np.float32)}


def test_key_points_are_the_ends_of_paths_and_the_joints_between_their_pieces():
    path = [*straight((4.2, 4.2), (12.2, 4.2)), *straight((12.2, 4.2), (12.2, 20.2))]
    nodes, anchors = draw_fields([path], 32).keypoints
    assert np.argwhere(nodes).tolist() == [[4, 4], [20, 12]]
    assert np.argwhere(anchors).tolist() == [[4, 12]]


def test_a_pixel_is_one_kind_of_key_point_and_the_node_wins():
    there_and_back = [*straight((4.2, 4.2), (12.2, 4.2)), *straight((12.2, 4.2), (4.4, 4.4))]
    other = straight((12.4, 4.4), (12.4, 20.4))
    nodes, anchors = draw_fields([there_and_back, other], 32).keypoints
    assert nodes[4, 12] == 1 and anchors[4, 12] == 0


@pytest.mark.parametrize("level", [2, 6, 9])
def test_key_points_lie_on_the_skeleton(level: int):
    for index in range(20):
        fields = draw_fields(drawing(index, level=level, size=64), 64)
        assert (fields.skeleton[0][fields.keypoints.any(axis=0)] == 1).all()
