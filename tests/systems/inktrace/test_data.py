import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from holdfast.assembly import build_data as assembled
from holdfast.data.batches import Batches, Composer, Microbatch
from holdfast.data.order import Order
from holdfast.data.scheduled import Scheduled
from holdfast.systems.inktrace.config import Curriculum
from holdfast.systems.inktrace.data import Moment, build_data
from holdfast.systems.inktrace.samples import make_data
from holdfast.systems.inktrace.system import system

from .drawings import config_for


def same(one, other) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def strokes(batch) -> list[int]:
    """Gives how many nodes each drawing has; a single long stroke has two."""
    return batch["keypoints"][:, 0].sum((1, 2)).int().tolist()


def test_a_sample_is_a_picture_with_its_five_fields():
    sample = build_data(config_for()).train[0]
    shapes = {name: tuple(field.shape) for name, field in sample.items()}
    assert shapes == {
        "image": (1, 32, 32), "skeleton": (1, 32, 32), "keypoints": (2, 32, 32),
        "tangent": (2, 32, 32), "width": (1, 32, 32), "offset": (2, 32, 32),
    }  # fmt: skip
    assert {field.dtype for field in sample.values()} == {torch.float32}


def test_an_epoch_is_as_long_as_asked_and_has_drawings_of_its_own():
    data = build_data(config_for(data={"epoch_length": 5}))
    assert len(data.train) == 5  # pyright: ignore[reportArgumentType]
    assert data.schedule is not None
    first, second = (data.train[Scheduled(3, data.schedule(epoch))] for epoch in (0, 1))
    assert not same(first, second)
    assert same(first, data.train[Scheduled(3, data.schedule(0))])


def test_held_out_drawings_are_the_same_for_every_seed_and_of_the_last_level():
    curriculum = {"curriculum": {"start": 0, "end": 3}, "mask_ratio": 0.3}
    one, other = (build_data(config_for(seed=seed, training=curriculum)).val for seed in (1, 2))
    assert one is not None and other is not None
    assert len(one) == 4  # pyright: ignore[reportArgumentType]
    assert all(same(one[index], other[index]) for index in range(4))
    trained = build_data(config_for(seed=1, training=curriculum)).train
    assert not any(same(one[i], trained[Scheduled(i, Moment(0, 3))]) for i in range(4))


def test_the_curriculum_climbs_with_the_epochs_and_stays_at_its_end():
    curriculum = Curriculum(start=1, end=3, epochs_per_level=2)
    assert [curriculum.level(epoch) for epoch in range(8)] == [1, 1, 2, 2, 3, 3, 3, 3]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_change_of_level_reaches_loader_workers_that_live_on(workers: int):
    config = config_for(training={"curriculum": {"start": 0, "end": 3, "epochs_per_level": 1}})
    data = build_data(config)
    composer = Composer(data.train, None, 1, "dense", schedule=data.schedule)
    batches = Batches(composer, Order(6, shuffle=None), batch_size=3, workers=workers)
    with batches.from_step(0) as stream:
        seen = [next(stream).microbatches[0] for _ in range(8)]
    assert [strokes(batch) for batch in seen[:2]] == [[2, 2, 2]] * 2
    assert max(strokes(seen[6]) + strokes(seen[7])) > 4
    levels = [0, 1, 2, 3]
    for epoch, level in enumerate(levels):
        for index in range(6):
            expected = data.train[Scheduled(index, Moment(epoch, level))]
            given = {name: field[index % 3] for name, field in seen[2 * epoch + index // 3].items()}
            assert same(expected, given)


@pytest.mark.parametrize("from_folder", [False, True])
def test_everything_can_be_sent_to_a_worker_that_starts_anew(tmp_path: Path, from_folder: bool):
    make_data(tmp_path, 6, 1, size=32)
    path = str(tmp_path) if from_folder else None
    data = build_data(config_for(data={"path": path, "val_split": 0.3}, training={"mask_ratio": 0.5}))
    composer = Composer(data.train, None, 1, "dense", schedule=data.schedule)
    sent = pickle.loads(pickle.dumps(composer))
    assert same(sent[Microbatch(2, 9, 0, [1, 0])], composer[Microbatch(2, 9, 0, [1, 0])])


def test_without_a_schedule_the_workers_would_stay_at_one_level():
    """The defect that the test above is to see: a level that only the first epoch knew."""
    config = config_for(training={"curriculum": {"start": 0, "end": 3, "epochs_per_level": 1}})
    data = build_data(config)
    assert data.schedule is not None
    stuck = Composer(data.train, None, 1, "dense", schedule=lambda epoch: data.schedule(0))  # pyright: ignore
    batches = Batches(stuck, Order(6, shuffle=None), batch_size=6, workers=2)
    with batches.from_step(3) as stream:
        assert max(strokes(next(stream).microbatches[0])) == 2


@pytest.mark.parametrize("kind", ["block", "pixel", "stroke"])
def test_what_is_hidden_is_background_for_the_network_and_still_true_in_the_fields(kind: str):
    plain, hidden = (
        build_data(config_for(training={"mask": kind, "mask_ratio": ratio})).train[2] for ratio in (None, 0.6)
    )
    gone = plain["image"] != hidden["image"]
    assert gone.any() and (hidden["image"][gone] == 0).all()
    assert same({**plain, "image": 0 * plain["image"]}, {**hidden, "image": 0 * plain["image"]})


def test_each_sample_and_epoch_hides_anew_and_evaluation_always_the_same():
    ratio = {"mask_ratio": 0.6, "curriculum": {"start": 2, "end": 2}}
    data, full = (build_data(config_for(training={**ratio, "mask_ratio": each})) for each in (0.6, 1e-9))
    assert data.val is not None
    assert same(data.val[1], data.val[1])
    places = [Scheduled(1, Moment(0, 2)), Scheduled(2, Moment(0, 2)), Scheduled(1, Moment(1, 2))]
    shown = [(data.train[asked]["image"] > 0, full.train[asked]["image"] > 0) for asked in places]
    shares = {round(float(seen.sum() / whole.sum()), 6) for seen, whole in shown}
    assert len(shares) == 3


def test_overfitting_trains_and_evaluates_on_the_same_drawings_in_every_epoch():
    curriculum = {"start": 0, "end": 6, "epochs_per_level": 1}
    config = config_for(training={"overfit": True, "subset_size": 3, "curriculum": curriculum})
    data = assembled(system, config)
    assert data.val is not None and data.schedule is None
    assert len(data.train) == len(data.val) == 3  # pyright: ignore[reportArgumentType]
    assert all(same(data.train[index], data.val[index]) for index in range(3))
    # They are those of the first epoch: single strokes, as the curriculum begins.
    assert [int(data.train[index]["keypoints"][0].sum()) for index in range(3)] == [2, 2, 2]


def test_a_subset_of_generated_ink_still_climbs_with_the_epochs():
    config = config_for(training={"subset_size": 2, "curriculum": {"start": 0, "end": 3, "epochs_per_level": 1}})
    data = assembled(system, config)
    assert data.schedule is not None
    assert not same(data.train[Scheduled(1, data.schedule(0))], data.train[Scheduled(1, data.schedule(3))])


def test_a_folder_is_divided_once_and_an_epoch_is_all_of_it(tmp_path: Path):
    make_data(tmp_path, 10, 1, size=32)
    data = build_data(config_for(data={"path": str(tmp_path), "epoch_length": None, "val_split": 0.3}))
    assert data.val is not None and data.split is not None
    assert (len(data.train), len(data.val)) == (7, 3)  # pyright: ignore[reportArgumentType]
    everything = [data.train[i]["image"] for i in range(7)] + [data.val[i]["image"] for i in range(3)]
    assert len({image.numpy().tobytes() for image in everything}) == 10


def test_an_epoch_of_another_length_goes_on_in_the_folder_where_the_last_one_ended(tmp_path: Path):
    make_data(tmp_path, 8, 1, size=32)
    data = build_data(config_for(data={"path": str(tmp_path), "epoch_length": 4, "val_split": 0.25}))
    assert data.schedule is not None
    seen = [data.train[Scheduled(i, data.schedule(epoch))] for epoch in range(3) for i in range(4)]
    images = [sample["image"].numpy().tobytes() for sample in seen]
    assert len(set(images[:6])) == 6 and images[6:] == images[:6]


def test_made_data_are_the_drawings_that_would_be_generated_but_for_the_bits_of_a_png(tmp_path: Path):
    make_data(tmp_path, 9, 3, size=32)
    data = build_data(config_for(data={"path": str(tmp_path), "epoch_length": None, "val_split": 0.12}))
    sample = data.train[0]
    assert np.isin((sample["image"] * 4).round(decimals=1), [0, 1, 2, 3, 4]).all()
    assert (sample["tangent"].norm(dim=0)[sample["skeleton"][0] > 0] - 1).abs().max() < 1e-5
