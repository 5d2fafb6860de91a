from itertools import pairwise

import numpy as np
import pytest

from holdfast.systems.inktrace.fields import draw_fields, draw_image
from holdfast.systems.inktrace.fitting import fit_curve
from holdfast.systems.inktrace.ink import Path
from holdfast.systems.inktrace.thinning import neighbours, thinned
from holdfast.systems.inktrace.tracing import Traced, follow, trace

from .drawings import drawing, straight


def mask_of(text: str) -> np.ndarray:
    return np.array([[cell == "#" for cell in line] for line in text.split()])


def traced(paths: list[Path], size: int = 64) -> list[Path]:
    fields = draw_fields(paths, size)
    return trace(Traced(fields.skeleton[0] > 0, fields.offset, fields.width[0], fields.keypoints[1] > 0))


def overlap(one: list[Path], other: list[Path], size: int = 64) -> float:
    a, b = (draw_image(paths, size) >= 0.5 for paths in (one, other))
    return float((a & b).sum() / (a | b).sum())


def test_a_bar_becomes_its_middle_line():
    bar = np.zeros((12, 20), np.bool_)
    bar[4:7, 2:18] = True
    lines = thinned(bar)
    assert lines[5, 5:15].all() and lines.sum() == lines[5].sum()


@pytest.mark.parametrize("turned", [0, 1, 2, 3])
def test_lines_that_are_thin_already_keep_their_ends_whatever_their_slope(turned: int):
    """A diagonal staircase is the one that the best known algorithm eats up from its end."""
    stairs = np.zeros((16, 16), np.bool_)
    for k in range(2, 13):
        stairs[k, k] = stairs[k, k + 1] = True
    lines = thinned(np.rot90(stairs, turned))
    back = np.rot90(lines, -turned)
    assert back[2:4, 2:5].any() and back[11:13, 11:15].any()
    assert 10 <= lines.sum() <= stairs.sum()


def test_thinning_breaks_nothing_apart():
    for index in range(20):
        fields = draw_fields(drawing(index, level=5, size=64), 64)
        links = neighbours(thinned(draw_image(drawing(index, level=5, size=64), 64)[0] >= 0.5))
        reached, todo = set(), [next(iter(links))]
        while todo:
            here = todo.pop()
            if here not in reached:
                reached.add(here)
                todo += links[here]
        assert len(reached) == len(links), f"drawing {index} of {int(fields.skeleton.sum())} pixels fell apart"


def test_a_corner_is_passed_along_its_sides():
    links = neighbours(
        mask_of("""
        ##...
        .#...
        .###.
        """)
    )
    assert sorted(len(near) for near in links.values()) == [1, 1, 2, 2, 2, 2]
    assert (1, 1) not in links[0, 0]


def test_lines_go_straight_on_where_they_cross():
    cross = np.zeros((21, 21), np.bool_)
    cross[10, 2:19] = cross[2:19, 10] = True
    lines = follow(cross)
    assert len(lines) == 2
    assert {tuple(sorted({row for row, _ in line})) for line in lines} == {(10,), tuple(range(2, 19))}


def test_a_branch_ends_where_it_meets_another_line():
    tee = np.zeros((21, 21), np.bool_)
    tee[4, 2:19] = tee[4:19, 10] = True
    assert sorted(len(line) for line in follow(tee)) == [15, 17]


def test_a_ring_and_a_dot_are_lines_too():
    both = np.zeros((20, 20), np.bool_)
    both[3, 3] = True
    both[8, 8:14] = both[14, 8:14] = both[8:15, 8] = both[8:15, 13] = True
    ring, dot = follow(both)
    assert dot == [(3, 3)]
    assert ring[0] == ring[-1] and len(set(ring)) == 22


def test_every_pixel_of_a_skeleton_is_on_a_line_but_short_spurs():
    for index in range(20):
        lines = thinned(draw_fields(drawing(index, level=9, size=64), 64).skeleton[0] > 0)
        on = {pixel for line in follow(lines) for pixel in line}
        assert len(on) >= 0.9 * lines.sum()


def test_a_curve_through_points_of_a_bezier_is_that_bezier():
    ((piece,),) = traced([[drawing(2, level=0, size=64)[0][0]]])
    true = drawing(2, level=0, size=64)[0][0]
    ends = {tuple(np.round(piece.points[0], 1)), tuple(np.round(piece.points[3], 1))}
    for end in (true.points[0], true.points[3]):
        assert min(np.linalg.norm(np.subtract(end, other)) for other in ends) < 1.0
    assert np.mean(piece.widths) == pytest.approx(np.mean(true.widths), abs=0.3)


def test_few_points_make_a_straight_curve_and_one_a_dot():
    two = np.array([[1.0, 1.0], [4.0, 5.0]])
    (piece,) = fit_curve(two, np.array([2.0, 4.0]))
    assert np.allclose(piece.points, [[1, 1], [2, 7 / 3], [3, 11 / 3], [4, 5]])
    assert piece.widths == (3.0, 3.0, 3.0)
    (dot,) = fit_curve(two[:1], np.array([2.0]))
    assert set(dot.points) == {(1.0, 1.0)}


def test_a_line_that_one_curve_cannot_follow_gets_several_that_hang_together():
    turns = np.linspace(0, 4 * np.pi, 120)
    spiral = 30 + np.stack([turns * np.cos(turns), turns * np.sin(turns)], axis=1)
    pieces = fit_curve(spiral, np.ones(120))
    assert 3 <= len(pieces) <= 12
    assert all(one.points[3] == other.points[0] for one, other in pairwise(pieces))


def test_a_line_is_cut_at_an_anchor():
    path = [*straight((6.5, 20.5), (30.5, 20.5)), *straight((30.5, 20.5), (56.5, 20.5))]
    ((first, second),) = traced([path])
    assert first.points[3] == second.points[0] == pytest.approx((30.5, 20.5), abs=1)


@pytest.mark.parametrize("level", range(10))
def test_true_fields_give_back_the_strokes(level: int):
    shares = [
        overlap(drawing(index, level=level, size=64), traced(drawing(index, level=level, size=64)))
        for index in range(12)
    ]
    assert np.mean(shares) > 0.9
    assert min(shares) > 0.7


def test_without_positions_and_widths_there_are_still_lines():
    fields = draw_fields(drawing(1, level=3, size=64), 64)
    lines = trace(Traced(fields.skeleton[0] > 0))
    assert len(lines) >= 3
    assert [width for path in lines for piece in path for width in piece.widths] == pytest.approx(
        [1.0] * 3 * sum(map(len, lines))
    )


def test_an_empty_picture_has_no_strokes():
    assert trace(Traced(np.zeros((32, 32), np.bool_))) == []
