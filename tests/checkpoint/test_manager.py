"""The checkpoint manager and the two functions in somebody's own script."""

import copy
import gc
import os
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

import holdfast
from holdfast.checkpoint import archive
from holdfast.checkpoint.store import Store
from holdfast.errors import CheckpointError, CheckpointMismatch, DamagedCheckpoint


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.Linear(32, 4))


def trained():
    """Gives a network after three steps of Adam, with its optimizer, schedule and scaler."""
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[2])
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    for _ in range(3):
        optimizer.zero_grad()
        scaler.scale(model(torch.randn(8, 16)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
    return model, optimizer, scheduler, scaler


def same(left, right):
    if isinstance(left, torch.Tensor):
        return torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right


def draws():
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def test_a_manager_saves_under_the_epoch_the_latest_and_the_best(tmp_path):
    model, optimizer, *_ = trained()
    manager = holdfast.CheckpointManager(tmp_path, keep_last_n=2)
    for epoch in (1, 2, 3):
        manager.save_checkpoint(epoch, model, optimizer, metric=1 / epoch, is_best=epoch == 2)
    names = sorted(path.name for path in tmp_path.glob("*.pth"))
    assert names == [
        "checkpoint_best.pth",
        "checkpoint_epoch2.pth",
        "checkpoint_epoch3.pth",
        "checkpoint_latest.pth",
        "weights_best.pth",
    ]
    assert manager.latest() == tmp_path / "checkpoint_latest.pth"
    assert manager.best() == tmp_path / "checkpoint_best.pth"


def test_everything_given_comes_back_and_the_dictionary_has_the_contracted_keys(tmp_path):
    model, optimizer, scheduler, scaler = trained()
    manager = holdfast.CheckpointManager(tmp_path)
    config = {"lr": 0.01, "name": "x"}
    path = manager.save_checkpoint(3, model, optimizer, scheduler, scaler, 0.5, {"val/acc": 0.9}, config)
    other = network()
    other_optimizer = torch.optim.Adam(other.parameters(), lr=0.5)
    loaded = manager.load_checkpoint(path, other, other_optimizer)
    assert same(dict(other.state_dict()), dict(model.state_dict()))
    assert same(other_optimizer.state_dict(), optimizer.state_dict())
    assert (loaded["epoch"], loaded["metric"], loaded["metrics"], loaded["config"]) == (
        3,
        0.5,
        {"val/acc": 0.9},
        config,
    )
    expected = {"model_state_dict", "optimizer_state_dict", "scheduler_state_dict", "scaler_state_dict", "timestamp"}
    assert expected <= set(loaded)
    assert set(torch.load(path, weights_only=True)) == set(loaded)


def test_without_the_optimizer_an_adam_checkpoint_is_a_third_of_the_full_one(tmp_path):
    model = nn.Linear(400, 400)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 400)).sum().backward()
    optimizer.step()
    full = holdfast.CheckpointManager(tmp_path / "full").save_checkpoint(1, model, optimizer)
    small = holdfast.CheckpointManager(tmp_path / "small", save_optimizer=False).save_checkpoint(1, model, optimizer)
    assert 0.30 <= small.stat().st_size / full.stat().st_size <= 0.36
    assert "optimizer_state_dict" not in torch.load(small, weights_only=True)


def test_a_checkpoint_without_optimizer_leaves_the_given_one_as_it_was(tmp_path):
    model, optimizer, *_ = trained()
    manager = holdfast.CheckpointManager(tmp_path, save_optimizer=False)
    path = manager.save_checkpoint(1, model, optimizer)
    before = copy.deepcopy(optimizer.state_dict())
    manager.load_checkpoint(path, network(), optimizer)
    assert same(optimizer.state_dict(), before)


def test_the_functions_restore_every_part_and_the_generators(tmp_path):
    model, optimizer, scheduler, scaler = trained()
    path = holdfast.save_checkpoint(
        model, optimizer, 2, 7, {"mAP": 0.3}, tmp_path, "last.pth", scheduler, scaler, best_metric=0.4, is_best=True
    )
    expected = draws()
    other, other_optimizer, other_scheduler, other_scaler = trained()
    loaded = holdfast.load_checkpoint(path, other, other_optimizer, other_scheduler, other_scaler)
    assert draws() == expected
    assert same(other_optimizer.state_dict(), optimizer.state_dict())
    assert other_scheduler.state_dict() == scheduler.state_dict()
    assert other_scaler.state_dict() == scaler.state_dict()
    assert (loaded["epoch"], loaded["step"], loaded["best_metric"]) == (2, 7, 0.4)
    assert (tmp_path / "checkpoint_best.pth").samefile(path)


def test_the_generators_are_left_alone_when_asked(tmp_path):
    model, optimizer, *_ = trained()
    path = holdfast.save_checkpoint(model, optimizer, 1, 1, None, tmp_path, save_rng_state=False)
    torch.manual_seed(5)
    expected = float(torch.rand(()))
    torch.manual_seed(5)
    holdfast.load_checkpoint(path, model)
    assert float(torch.rand(())) == expected


def test_the_names_are_those_of_the_network_inside_a_parallel_wrapper(tmp_path):
    model = network()
    path = holdfast.save_checkpoint(nn.DataParallel(model), None, 1, 1, None, tmp_path)
    state = torch.load(path, weights_only=True)["model_state_dict"]
    assert set(state) == set(model.state_dict())


def test_a_damaged_file_is_refused_and_nothing_is_touched(tmp_path):
    model, optimizer, *_ = trained()
    manager = holdfast.CheckpointManager(tmp_path)
    manager.save_checkpoint(1, model, optimizer)
    path = manager.save_checkpoint(2, model, optimizer)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    other = network()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(DamagedCheckpoint, match=r"checkpoint_epoch2\.pth"):
        manager.load_checkpoint(path, other)
    assert same(dict(other.state_dict()), dict(before))


def test_a_model_that_does_not_fit_is_refused_by_name(tmp_path):
    path = holdfast.save_checkpoint(network(), None, 1, 1, None, tmp_path)
    with pytest.raises(CheckpointMismatch, match=r"0\.weight is \[32, 16\] instead of \[8, 16\]"):
        holdfast.load_checkpoint(path, nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.Linear(8, 4)))


def test_what_is_not_plain_is_refused_by_its_name(tmp_path):
    with pytest.raises(CheckpointError, match=r"`metrics\.acc` must be a plain value.*use float"):
        holdfast.save_checkpoint(network(), None, 1, 1, {"acc": np.float32(0.5)}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_second_manager_in_another_process_is_refused(tmp_path):
    manager = holdfast.CheckpointManager(tmp_path)
    manager.save_checkpoint(1, network())
    child = os.fork()
    if child == 0:
        try:
            holdfast.CheckpointManager(tmp_path).save_checkpoint(2, network())
        except CheckpointError as error:
            os._exit(7 if "one process at a time" in str(error) else 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_dropped_manager_lets_the_next_one_have_the_folder(tmp_path):
    holdfast.CheckpointManager(tmp_path).save_checkpoint(1, network())
    gc.collect()
    holdfast.CheckpointManager(tmp_path).save_checkpoint(2, network())


def test_a_file_that_was_just_saved_is_never_removed_whatever_else_stands(tmp_path):
    manager = holdfast.CheckpointManager(tmp_path, keep_last_n=2)
    for epoch in (8, 9, 10):
        manager.save_checkpoint(epoch, network())
    assert manager.save_checkpoint(1, network()).exists()


def test_weights_that_change_during_a_save_are_never_acknowledged_as_damaged(tmp_path):
    model = nn.Linear(1500, 1500)
    stop = threading.Event()

    def disturb():
        with torch.no_grad():
            while not stop.is_set():
                model.weight.add_(1)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        paths = [holdfast.save_checkpoint(model, None, n, n, None, tmp_path, f"{n}.pth") for n in range(5)]
    finally:
        stop.set()
        thread.join()
    for path in paths:
        archive.verify(path)


def test_two_threads_may_save_under_one_name(tmp_path):
    errors = []

    def save():
        try:
            for number in range(10):
                holdfast.save_checkpoint(network(), None, number, number, None, tmp_path, "last.pth")
        except Exception as error:  # noqa: BLE001 - the finding
            errors.append(error)

    threads = [threading.Thread(target=save) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    archive.verify(tmp_path / "last.pth")
    assert [path.name for path in tmp_path.iterdir()] == ["last.pth"]


def test_a_folder_that_was_moved_and_replaced_is_not_written_to(tmp_path):
    manager = holdfast.CheckpointManager(tmp_path / "run")
    manager.save_checkpoint(50, network())
    (tmp_path / "run").rename(tmp_path / "old")
    holdfast.CheckpointManager(tmp_path / "run").save_checkpoint(1, network())
    with pytest.raises(CheckpointError, match="has been moved or replaced"):
        manager.save_checkpoint(51, network())


class Versioned(nn.Module):
    """Migrates weights of a release before its own."""

    _version = 2

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, *rest):
        if (local_metadata.get("version") or 1) < 2:
            state_dict[f"{prefix}weight"] = 10 * state_dict[f"{prefix}weight"]
        super()._load_from_state_dict(state_dict, prefix, local_metadata, *rest)


def test_modules_know_their_own_weights_from_those_of_an_old_release(tmp_path):
    path = holdfast.save_checkpoint(Versioned(), None, 1, 1, None, tmp_path)
    model = Versioned()
    holdfast.load_checkpoint(path, model)
    assert model.weight.tolist() == [1, 1]


def test_a_refused_optimizer_leaves_the_model_as_it_was(tmp_path):
    model, optimizer, *_ = trained()
    path = holdfast.save_checkpoint(model, optimizer, 1, 1, None, tmp_path)
    other = network()
    before = copy.deepcopy(other.state_dict())
    with pytest.raises(CheckpointMismatch, match="parameter groups"):
        holdfast.load_checkpoint(path, other, torch.optim.Adam(other[0].parameters()))
    assert same(dict(other.state_dict()), dict(before))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile uses what torch itself has retired
def test_a_compiled_model_is_saved_under_the_names_of_the_plain_one(tmp_path):
    path = holdfast.save_checkpoint(torch.compile(network()), None, 1, 1, None, tmp_path)
    holdfast.load_checkpoint(path, network())


def test_the_best_is_mended_after_a_kill_between_a_save_and_its_links(tmp_path):
    manager = holdfast.CheckpointManager(tmp_path)
    manager.save_checkpoint(1, network(), is_best=True)
    manager.save_checkpoint(2, network(), metric=0.5, is_best=True)
    manager.close()
    (tmp_path / "checkpoint_best.pth").unlink()
    os.link(tmp_path / "checkpoint_epoch1.pth", tmp_path / "checkpoint_best.pth")  # as the kill left it
    Store(tmp_path).load_newest()
    assert archive.read(tmp_path / "checkpoint_best.pth")["epoch"] == 2
