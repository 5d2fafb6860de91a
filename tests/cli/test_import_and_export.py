"""`import` and `export`: foreign checkpoints become ours, and the weights of ours leave."""

import os
from pathlib import Path

import pytest
import torch

from holdfast.checkpoint.archive import read
from holdfast.checkpoint.compare import digest
from holdfast.checkpoint.foreign.opening import open_file
from tests.layouts.writers import (
    Trained,
    network,
    write_accelerate_folder,
    write_lightning,
    write_mmengine,
    write_script,
    write_trainer_folder,
)

WRITERS = {
    "script": write_script,
    "lightning": write_lightning,
    "trainer": write_trainer_folder,
    "accelerate": write_accelerate_folder,
    "mmengine": write_mmengine,
}
COMMANDS = (
    ("inspect", "evil.pth"),
    ("inspect", "evil.pth", "--tree"),
    ("inspect", "evil.pth", "--json"),
    ("import", "evil.pth", "imported.pth"),
    ("export", "evil.pth", "exported.pth"),
    ("export", "evil.pth", "exported.safetensors"),
    ("compare", "evil.pth", "evil.pth"),
    ("verify", "evil.pth"),
)


@pytest.fixture
def trained():
    return Trained()


@pytest.mark.parametrize("kind", WRITERS)
def test_what_others_wrote_is_one_of_ours_value_for_value(holdfast, here, trained, kind):
    WRITERS[kind](here / "old", trained)
    code, out, err = holdfast("import", "old", "new.pth")
    assert (code, err) == (0, "")
    assert "step 6" in out and "never there" in out
    assert holdfast("compare", "old", "new.pth", "--exit-code")[0] == 0
    assert holdfast("verify", "new.pth")[0] == 0
    assert torch.load("new.pth", weights_only=True)["version"] == 1


def test_an_imported_checkpoint_loads_into_a_script_of_ones_own(holdfast, here, trained):
    import holdfast as library

    write_script(here / "old.pth", trained)
    holdfast("import", "old.pth", "new.pth")
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=9.0)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
    state = library.load_checkpoint("new.pth", model, optimizer, scheduler)
    assert (state["epoch"], state["step"]) == (3, 6)
    assert digest(dict(model.state_dict())) == digest(trained.weights)
    assert digest(optimizer.state_dict()) == digest(trained.optimizer.state_dict())
    assert scheduler.state_dict() == trained.scheduler.state_dict()


def test_counters_that_a_file_does_not_say_can_be_given(holdfast, here, trained):
    torch.save(trained.weights, "weights.pth")
    assert "begins at 0" in holdfast("import", "weights.pth", "a.pth")[1]
    assert read("a.pth")["epoch"] == 0
    holdfast("import", "weights.pth", "b.pth", "--epoch", "7", "--step", "700")
    assert (read("b.pth")["epoch"], read("b.pth")["step"]) == (7, 700)
    code, _, err = holdfast("import", "weights.pth", "c.pth", "--epoch", "-1")
    assert code == 2 and "from 0 on" in err


def test_import_refuses_what_is_ours_and_what_is_not_a_checkpoint(holdfast, here, trained, entries):
    write_script(here / "old.pth", trained)
    holdfast("import", "old.pth", "new.pth")
    code, _, err = holdfast("import", "new.pth", "again.pth")
    assert code == 2 and "one of ours" in err
    (here / "notes.pth").write_text("notes")
    code, _, err = holdfast("import", "notes.pth", "again.pth")
    assert code == 1 and err.count("\n") == 1
    assert holdfast("import", "nowhere.pth", "again.pth")[0] == 2
    assert entries() == ["new.pth", "notes.pth", "old.pth"]


@pytest.mark.parametrize("command", ["import", "export"])
def test_nothing_is_overwritten_unless_asked(holdfast, here, trained, command):
    write_script(here / "old.pth", trained)
    (here / "there.pth").write_text("precious")
    code, _, err = holdfast(command, "old.pth", "there.pth")
    assert code == 2 and "--overwrite" in err
    assert (here / "there.pth").read_text() == "precious"
    assert holdfast(command, "old.pth", "there.pth", "--overwrite")[0] == 0
    assert holdfast(command, "old.pth", "there.txt")[0] == 2
    (here / "folder.pth").mkdir()
    assert holdfast(command, "old.pth", "folder.pth", "--overwrite")[0] == 2


def test_export_gives_bare_weights_that_plain_torch_opens(holdfast, here, trained):
    write_lightning(here / "last.ckpt", trained)
    code, out, _ = holdfast("export", "last.ckpt", "deep/weights.pth")
    assert code == 0
    assert "weights, 43 numbers in 9 tensors" in out
    weights = torch.load("deep/weights.pth", weights_only=True)
    assert digest(weights) == digest(trained.weights)
    network().load_state_dict(weights)


def test_export_takes_averaged_weights_when_there_are_some(holdfast, here, trained):
    average = {name: tensor + 1 for name, tensor in trained.weights.items()}
    write_mmengine(here / "epoch_2.pth", trained, average=average)
    assert "averaged weights" in holdfast("export", "epoch_2.pth", "weights.pth")[1]
    assert digest(torch.load("weights.pth", weights_only=True)) == digest(average)


def test_export_to_safetensors_keeps_every_kind_of_tensor_and_both_names_of_a_shared_one(holdfast, here):
    shared = torch.arange(6.0).reshape(2, 3)
    weights = {
        "embedding": shared,
        "head": shared,
        "across": torch.arange(6.0).reshape(2, 3).T,
        "single": torch.tensor(3),
        "none": torch.empty(0, 4),
        "half": torch.ones(3, dtype=torch.bfloat16),
        "mask": torch.tensor([True, False]),
        "bytes": torch.arange(5, dtype=torch.uint8),
    }
    torch.save(weights, "w.pth")
    assert holdfast("export", "w.pth", "w.safetensors")[0] == 0
    found = open_file(Path("w.safetensors")).content
    assert {name: digest(found[name]) for name in weights} == {name: digest(one) for name, one in weights.items()}
    assert found["__metadata__"]["format"] == "pt"
    torch.save({"z": torch.ones(2, dtype=torch.complex128)}, "z.pth")
    code, _, err = holdfast("export", "z.pth", "z.safetensors")
    assert code == 1 and "export to .pth" in err
    assert not Path("z.safetensors").exists()


class Evil:
    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.mark.parametrize("content", ["alone", "beside weights", "as weights", "as settings"])
def test_nothing_that_a_file_holds_is_run_by_any_command(holdfast, here, trained, content):
    torch.save(
        {
            "alone": Evil(),
            "beside weights": {"model": trained.weights, "evil": Evil()},
            "as weights": {"model": Evil(), "state_dict": trained.weights},
            "as settings": {"model": trained.weights, "args": Evil()},
        }[content],
        "evil.pth",
    )
    for words in COMMANDS:
        code, out, err = holdfast(*words)
        assert code in (0, 1), (words, out, err)
        assert err.count("\n") == (code != 0 and words[0] != "verify"), (words, err)
    assert not Path("ran").exists()
    torch.load("evil.pth", weights_only=False)
    assert Path("ran").exists()
