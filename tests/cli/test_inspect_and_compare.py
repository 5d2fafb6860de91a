"""`inspect` and `compare`: what they say, of our checkpoints and of others', on a screen and as JSON."""

import json
import shutil

import pytest
import torch

from holdfast.cli.main import run
from tests.layouts.writers import Trained, write_lightning, write_script, write_trainer_folder

TINY = ("train", "tests.tiny:system", "--no-tensorboard", "--name", "first", "--epochs", "3", "--ema", "0.9")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of three epochs."""
    place = tmp_path_factory.mktemp("finished")
    assert run([*TINY, "--output-dir", str(place)]) == 0
    return place / "first"


@pytest.fixture
def first(finished, here):
    shutil.copytree(finished, here / "runs" / "first")
    return here / "runs" / "first" / "checkpoints"


def json_of(holdfast, *words):
    code, out, err = holdfast(*words, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_inspect_of_a_run_shows_its_latest_checkpoint(holdfast, first):
    code, out, err = holdfast("inspect", "first")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].endswith("checkpoint_latest.pth")
    assert "epoch 3, step 15, samples 60 (stage train)" in out
    assert "exp_avg, exp_avg_sq of 6 parameters, rate 0.05" in out
    assert "averaged weights" in out
    assert "38 numbers in 9 tensors, 156 B" in out
    best = holdfast("inspect", "first", "--checkpoint", "best")[1]
    assert best.splitlines()[0].endswith("checkpoint_best.pth")
    assert "model_state_dict" in holdfast("inspect", first / "checkpoint_epoch2.pth")[1]


def test_inspect_as_json_is_one_document(holdfast, first):
    found = json_of(holdfast, "inspect", "first")
    state = torch.load(first / "checkpoint_latest.pth", weights_only=True)
    assert (found["layout"], found["epoch"], found["step"], found["samples"]) == ("Holdfast", 3, 15, 60)
    assert (found["metric"], found["best_metric"]) == (state["metric"], state["best_metric"])
    assert found["config"]["model"]["width"] == 4
    assert [one["name"] for one in found["keys"]] == list(state)
    weights = [(one["name"], one["shape"], one["type"]) for one in found["parameters"]]
    expected = state["model_state_dict"].items()
    assert weights == [(name, list(t.shape), str(t.dtype).removeprefix("torch.")) for name, t in expected]
    assert (found["parameter_count"], found["parameter_bytes"]) == (38, 156)
    assert (found["has_optimizer"], found["optimizer"]["rates"], found["has_average"]) == (True, [0.05], True)


def test_inspect_shows_a_foreign_checkpoint_and_what_would_not_be_taken(holdfast, here):
    write_lightning(here / "last.ckpt", Trained(), colours="red")
    out = holdfast("inspect", "last.ckpt")[1]
    assert "Lightning (a zip archive of PyTorch)" in out
    assert "epoch 3, step 6" in out
    assert "colours (nothing of ours corresponds to it)" in out
    found = json_of(holdfast, "inspect", "last.ckpt")
    assert found["never_there"] == ["samples", "rng_state", "data_state", "metric", "best_step", "metrics"]
    write_trainer_folder(here / "checkpoint-6", Trained())
    assert "trainer_state.json" in holdfast("inspect", "checkpoint-6")[1]


def test_inspect_shows_the_tree_of_what_no_layout_recognises(holdfast, here):
    torch.save({"colours": {"red": torch.ones(2, 3)}, "many": list(range(100))}, "odd.pth")
    out = holdfast("inspect", "odd.pth", "--tree")[1]
    assert "    red  float32 [2, 3]" in out.splitlines()
    assert "... and 92 more" in out
    out = holdfast("inspect", "odd.pth")[1]
    assert "no layout recognises it" in out and "  many     100 items" in out.splitlines()
    assert holdfast("inspect", "/dev/null")[0] == 2


def test_a_large_network_is_shown_by_its_parts(holdfast, here):
    torch.save(
        {f"layers.{n}.{kind}": torch.ones(4) for n in range(12) for kind in ("weight", "bias", "scale")}, "w.pth"
    )
    lines = holdfast("inspect", "w.pth")[1].splitlines()
    assert "  layers.11  3 tensors  12  48 B" in lines
    assert len(lines) < 60


def test_no_line_is_wider_than_a_screen_and_nothing_reaches_the_terminal(holdfast, here, first):
    evil = "\x1b]0;title\x07\x1b[31m" + "n" * 200
    write_script(here / "evil.pth", Trained(), **{evil: 1, "args": {evil: evil, "b\u202ec": 1}, "metrics": {evil: 2.0}})
    for words in (
        ("inspect", "evil.pth"),
        ("inspect", "evil.pth", "--tree"),
        ("inspect", "first"),
        ("compare", "evil.pth", "first"),
        ("import", "evil.pth", "good.pth"),
    ):
        code, out, err = holdfast(*words)
        assert (code, err) == (0, "")
        assert max(len(line.replace(str(here), "")) for line in out.splitlines()) <= 110, words
        assert not set(out) & set("\x1b\x07\u202e")


def test_a_damaged_checkpoint_is_named_and_a_text_is_refused_in_one_line(holdfast, first):
    path = first / "checkpoint_epoch2.pth"
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    code, out, err = holdfast("inspect", path)
    assert (code, out) == (1, "")
    assert "checkpoint_epoch2.pth" in err and err.count("\n") == 1
    (first / "notes.txt").write_text("not a checkpoint\n")
    code, out, err = holdfast("inspect", first / "notes.txt")
    assert (code, out, err.count("\n")) == (1, "", 1)


def test_compare_finds_a_checkpoint_equal_to_itself(holdfast, first):
    code, out, _ = holdfast("compare", "first", first / "checkpoint_epoch3.pth", "--exit-code")
    assert code == 0
    assert "equal to the last bit" in out


def test_compare_says_how_far_each_parameter_has_moved(holdfast, first):
    code, out, _ = holdfast("compare", first / "checkpoint_epoch2.pth", "first", "--exit-code")
    assert code == 1
    assert "epoch" in out and "+1" in out
    assert "other parts that differ" in out and "optimizer_state_dict" in out
    found = json_of(holdfast, "compare", first / "checkpoint_epoch2.pth", "first")
    old, new = (
        torch.load(first / f"checkpoint_{name}.pth", weights_only=True)["model_state_dict"]
        for name in ("epoch2", "latest")
    )
    moved = {one["name"]: one for one in found["parameters"]}
    assert list(moved) == list(old)
    for name, tensor in old.items():
        gap = new[name].double() - tensor.double()
        assert moved[name]["distance"] == pytest.approx(float(gap.norm()))
        assert moved[name]["norm"] == pytest.approx(float(tensor.double().norm()))
        assert moved[name]["largest"] == pytest.approx(float(gap.abs().max()))
        assert moved[name]["changed"] == pytest.approx(float((new[name] != tensor).double().mean()))
    assert found["values"]["epoch"] == [2, 3]
    assert not found["equal"]


def test_compare_sees_one_flipped_bit_and_what_only_one_has(holdfast, here):
    trained = Trained()
    write_script(here / "a.pth", trained)
    changed = trained.weights | {"0.weight": trained.weights["0.weight"].clone(), "extra": torch.ones(2)}
    changed["0.weight"].view(torch.int32)[0, 0] ^= 1
    changed["0.bias"] = torch.zeros(7)
    del changed["3.bias"]
    write_script(here / "b.pth", trained, model_state_dict=changed, args={"lr": 0.2})
    assert holdfast("compare", "a.pth", "b.pth", "--exit-code")[0] == 1
    found = json_of(holdfast, "compare", "a.pth", "b.pth")
    assert [one["name"] for one in found["parameters"] if one["changed"]] == ["0.weight"]
    assert found["reshaped"] == {"0.bias": ["[4] float32", "[7] float32"]}
    assert (found["only_in_first"], found["only_in_second"]) == (["3.bias"], ["extra"])
    assert found["config"]["lr"] == [0.1, 0.2]
    assert holdfast("compare", "a.pth", "b.pth")[0] == 0


def test_compare_counts_what_is_not_finite(holdfast, here):
    trained = Trained()
    write_script(here / "a.pth", trained)
    broken = trained.weights | {"3.bias": torch.tensor([float("nan"), float("inf")])}
    write_script(here / "b.pth", trained, model_state_dict=broken)
    assert "2 not finite" in holdfast("compare", "a.pth", "b.pth")[1]
    assert holdfast("compare", "b.pth", "b.pth", "--exit-code")[0] == 0


def test_compare_of_anything_but_two_is_the_users_mistake(holdfast, first):
    for words in ((), ("first",), ("first", "first", "first"), ("first", "nowhere")):
        code, out, err = holdfast("compare", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
