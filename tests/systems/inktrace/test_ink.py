import math
from itertools import pairwise

import pytest

from holdfast.systems.inktrace.ink import Ink, draw_paths

SIZE = 64
MANY = range(60)


def drawings(level: int):
    return [Ink(7, "test", SIZE)(0, index, level=level) for index in MANY]


def angle(start, end):
    return math.atan2(end[1] - start[1], end[0] - start[0])


def test_a_drawing_is_a_function_of_seed_purpose_epoch_and_number():
    ink = Ink(1, "test", SIZE)
    drawing = ink(3, 5, level=6)
    assert drawing == Ink(1, "test", SIZE)(3, 5, level=6)
    others = [
        Ink(2, "test", SIZE)(3, 5, level=6),
        Ink(1, "held out", SIZE)(3, 5, level=6),
        ink(4, 5, level=6),
        ink(3, 6, level=6),
    ]
    assert all(drawing != other for other in others)


def test_the_drawing_of_a_key_stays_what_it_is_from_release_to_release():
    (path,) = draw_paths(1, 0, SIZE)
    assert path[0].points[0] == pytest.approx((54.2643, 10.5938), abs=1e-4)
    assert path[0].widths == pytest.approx((3.2240, 3.1066, 4.3381), abs=1e-4)


@pytest.mark.parametrize(
    "level, paths, pieces",
    [
        (0, {1}, {1}),
        (1, {1, 2, 3}, {1}),
        (2, {2, 3, 4, 5}, {1}),
        (3, {3, 4, 5, 6, 7, 8}, {1}),
        (4, {1}, {2, 3}),
        (5, {1}, {3, 4, 5}),
        (6, {1}, {4, 5, 6, 7, 8}),
        (7, {1, 2}, {2, 3}),
        (8, {2, 3}, {2, 3, 4}),
        (9, {2, 3, 4}, {2, 3, 4, 5}),
        (12, {2, 3, 4}, {2, 3, 4, 5}),
    ],
)
def test_a_level_says_how_many_paths_and_pieces_there_are(level: int, paths: set[int], pieces: set[int]):
    drawn = drawings(level)
    assert {len(each) for each in drawn} == paths
    assert {len(path) for each in drawn for path in each} == pieces


def test_a_single_stroke_is_long_and_all_others_are_short_and_thin():
    for level, lengths, widths in ((0, (0.3, 0.8), (2, 5)), (3, (0.12, 0.35), (1.5, 4)), (8, (0.12, 0.35), (1.5, 4))):
        pieces = [piece for each in drawings(level) for path in each for piece in path]
        chords = [math.dist(piece.points[0], piece.points[3]) / SIZE for piece in pieces]
        # A piece that found no room is half as long as the shortest.
        assert lengths[0] / 2 - 1e-9 <= min(chords) and max(chords) <= lengths[1]
        assert all(widths[0] <= width <= widths[1] for piece in pieces for width in piece.widths)


def test_pieces_of_a_path_go_on_where_and_as_the_one_before_ended():
    joints = [pair for each in drawings(6) for path in each for pair in pairwise(path)]
    turns = []
    for before, after in joints:
        assert before.points[3] == after.points[0]
        turn = angle(*before.points[2:]) - angle(*after.points[:2])
        turns.append(abs((turn + math.pi) % (2 * math.pi) - math.pi))
    smooth = [turn < 1e-6 for turn in turns]
    # Only where there was no room does a piece turn to the centre.
    assert sum(smooth) / len(smooth) > 0.8


def test_ink_stays_within_the_margin():
    for level in range(10):
        for paths in drawings(level):
            ends = [point for path in paths for piece in path for point in piece.points[1:]]
            assert all(4 - 1e-9 <= value <= SIZE - 4 + 1e-9 for point in ends for value in point)


def test_upper_paths_come_first():
    for paths in drawings(3):
        heights = [path[0].points[0][1] for path in paths]
        assert heights == sorted(heights)
