"""Our own files, tables of a system's past, and content that means no good."""

import os
import random

import pytest
import torch

from holdfast.checkpoint import archive
from holdfast.checkpoint.compare import digest
from holdfast.checkpoint.exporting import import_checkpoint
from holdfast.checkpoint.foreign.opaque import Opaque
from holdfast.checkpoint.layouts import Keyed, Source, read_any
from holdfast.checkpoint.layouts.reading import LAYOUTS
from holdfast.errors import CheckpointMismatch, DamagedCheckpoint, HoldfastError, UnsafeFile
from tests.layouts.writers import Trained, settings, write_lightning, write_script

OLD = Keyed(
    name="Shapes before 2024",
    marks=frozenset({"net", "sched", "it"}),
    parts={
        "epoch": "epoch",
        "step": "it",
        "model_state_dict": "net",
        "optimizer_state_dict": "optimizer",
        "scheduler_state_dict": "sched",
        "scaler_state_dict": "amp",
    },
    epoch_means="last, from 0",
    config_file="options.pkl",
    optional=frozenset({"scaler_state_dict"}),
)


@pytest.fixture
def trained():
    return Trained()


def write_ours(path, state):
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    archive.write(descriptor, state)
    os.close(descriptor)
    return path


def old_content(trained, **more):
    optimizer, scheduler = trained.optimizer.state_dict(), trained.scheduler.state_dict()
    return {"net": trained.weights, "optimizer": optimizer, "sched": scheduler, "it": 40, "epoch": 3, **more}


def test_one_of_ours_is_given_as_it_is_and_a_damaged_one_is_never_read_as_another_kind(tmp_path, trained):
    state = {"version": 1, "epoch": 2, "step": 5, "model_state_dict": trained.weights}
    path = write_ours(tmp_path / "ours.pth", state)
    found = read_any(path)
    assert (found.layout, digest(found.state), found.absent) == ("Holdfast", digest(state), ())
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedCheckpoint):
        read_any(path)


def test_bare_weights_of_ours_are_bare_weights(tmp_path, trained):
    found = read_any(write_ours(tmp_path / "weights_best.pth", trained.weights))
    assert found.layout == "bare weights"
    assert digest(found.state["model_state_dict"]) == digest(trained.weights)


def test_an_imported_checkpoint_still_says_what_it_never_had(tmp_path, trained):
    foreign = read_any(write_lightning(tmp_path / "last.ckpt", trained))
    import_checkpoint(foreign, tmp_path / "imported.pth", counters={})
    again = read_any(tmp_path / "imported.pth")
    assert (again.layout, again.absent, again.missing) == ("Holdfast", foreign.absent, foreign.missing)
    for part, value in foreign.state.items():
        assert digest(again.state[part]) == digest(value), part
    whole = torch.load(tmp_path / "imported.pth", weights_only=True)
    assert (whole["version"], whole["samples"], whole["stage"]) == (1, 0, "train")


def test_a_system_writes_its_past_down_as_a_table(tmp_path, trained):
    torch.save(old_content(trained), tmp_path / "latest.pt")
    torch.save(settings(), tmp_path / "options.pkl")
    assert read_any(tmp_path / "latest.pt").layout == "plain script"
    found = read_any(tmp_path / "latest.pt", [OLD])
    assert (found.layout, found.state["epoch"], found.state["step"]) == ("Shapes before 2024", 4, 40)
    assert found.state["config"]["lr"] == 0.1
    assert found.state["scaler_state_dict"] is None
    assert found.missing == ()
    assert "best_metric" in found.absent


def test_a_part_of_the_table_that_a_file_lacks_is_missing_and_not_absent(tmp_path, trained):
    content = old_content(trained)
    del content["optimizer"], content["epoch"]
    torch.save(content, tmp_path / "latest.pt")
    found = read_any(tmp_path / "latest.pt", [OLD])
    assert set(found.missing) == {"epoch", "optimizer_state_dict", "config"}


def test_a_counter_of_the_table_that_is_no_number_is_refused(tmp_path, trained):
    torch.save(old_content(trained, it="many"), tmp_path / "latest.pt")
    with pytest.raises(CheckpointMismatch, match="`it`"):
        read_any(tmp_path / "latest.pt", [OLD])


def test_objects_of_unknown_classes_are_named_where_they_stood(tmp_path, trained):
    path = write_script(tmp_path / "last.pth", trained, args={"lr": 0.1, "device": UserClass(), "made": [UserClass()]})
    found = read_any(path)
    assert found.state["config"] == {"lr": 0.1, "made": [None]}
    assert [one.name for one in found.left] == ["args.device", "args.made[0]"]
    assert found.opaque == (f"{__name__}.UserClass",)


class UserClass:
    def __init__(self):
        self.secret = 1


def test_a_checkpoint_that_would_grow_without_end_is_refused(tmp_path, trained):
    bomb: list = [1.0]
    for _ in range(60):
        bomb = [bomb, bomb]
    torch.save({"model": trained.weights, "scheduler": {"lambdas": bomb}}, tmp_path / "bomb.pth")
    with pytest.raises(UnsafeFile):
        read_any(tmp_path / "bomb.pth")


NAMES = [
    *(
        "epoch",
        "step",
        "model",
        "model_state_dict",
        "state_dict",
        "optimizer",
        "state",
        "param_groups",
        "params",
        "loops",
    ),
    *("fit_loop", "meta", "iter", "mmengine_version", "ema_state_dict", "module.a", "callbacks", "optimizer_states"),
    *("rng_state", "python", "numpy", "torch", "args", "metrics", "best_metric", "pytorch-lightning_version"),
    *("message_hub", "runtime_info", "current_model_state", "averaging_state", "param_schedulers", "n_averaged", "a"),
]


def some_value(dice, depth=0):
    kind = dice.randrange(14 if depth < 4 else 9)
    plain = [None, True, -1, 2**70, float("nan"), "text", b"bytes", torch.ones(2), torch.tensor(3)]
    if kind < 9:
        return plain[kind]
    inner = [some_value(dice, depth + 1) for _ in range(dice.randrange(4))]
    if kind == 9:
        return Opaque("some.Class", {"arguments": (), "state": dict(zip(NAMES, inner, strict=False))})
    if kind == 10:
        return inner
    if kind == 11:
        return tuple(inner)
    return {dice.choice([*NAMES, 1, 2]): value for value in inner}


def test_no_content_makes_a_layout_fail_otherwise_than_in_words(tmp_path):
    dice = random.Random(0)
    outcomes = {"translated": 0, "refused": 0, "not its own": 0}
    for _ in range(3000):
        content = {name: some_value(dice) for name in dice.sample(NAMES, dice.randrange(1, 9))}
        if dice.random() < 0.7:
            content[dice.choice(["model", "state_dict", "model_state_dict"])] = {"a": torch.ones(2), "b": torch.ones(1)}
        if dice.random() < 0.3:
            content["meta"] = {"mmengine_version": "1", "epoch": some_value(dice)}
        source = Source(tmp_path / "file.pth", ours=content)
        for layout in (OLD, *LAYOUTS):
            if not layout.recognises(source):
                outcomes["not its own"] += 1
                continue
            try:
                state = layout.translate(source).state
                archive.plan({**state})
                outcomes["translated"] += 1
            except HoldfastError:
                outcomes["refused"] += 1
    assert outcomes["translated"] > 500
    assert outcomes["not its own"] > 500


def test_an_index_of_no_weights_ends_in_words(tmp_path):
    (tmp_path / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    with pytest.raises(HoldfastError):
        read_any(tmp_path)


def test_what_an_imported_file_says_that_it_lacks_may_be_anything(tmp_path):
    state = {"version": 1, "epoch": 1, "step": 1, "model_state_dict": {"w": torch.ones(2)}}
    descriptor = os.open(tmp_path / "odd.pth", os.O_RDWR | os.O_CREAT, 0o644)
    archive.write(descriptor, state | {"metadata": {"imported": {"absent": 5, "missing": {"a": 1}}}})
    os.close(descriptor)
    assert read_any(tmp_path / "odd.pth").state["epoch"] == 1
