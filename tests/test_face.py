"""What `import holdfast` offers."""

import subprocess
import sys

import pytest

import holdfast
from holdfast.errors import ConfigError
from tests.tiny import TinyConfig, system


def test_every_public_name_is_there_and_the_list_is_sorted():
    assert list(holdfast.__all__) == sorted(holdfast.__all__)
    assert all(hasattr(holdfast, name) for name in holdfast.__all__)


def test_importing_holdfast_and_asking_for_help_do_not_import_torch():
    script = "import sys, holdfast.cli.main; holdfast.cli.main.run(['--help']); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_help_takes_at_most_three_tenths_of_a_second_of_processor_time():
    script = (
        "import resource, subprocess, sys; subprocess.run([sys.executable, '-m', 'holdfast', '--help'], check=True,"
        " stdout=subprocess.DEVNULL); used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        " print(used.ru_utime + used.ru_stime)"
    )
    taken = [
        float(subprocess.run([sys.executable, "-c", script], check=True, capture_output=True).stdout) for _ in "123"
    ]
    assert min(taken) <= 0.3


def test_a_system_is_trained_from_python_and_its_run_opened_for_prediction(here):
    folder = holdfast.train(
        system, {"training": {"epochs": 1}, "run": {"name": "mine"}, "logging": {"tensorboard": False}}
    )
    run = holdfast.load_run(folder, checkpoint="latest", system=system)
    assert folder == here / "runs" / "mine"
    assert (run.epoch, run.config.training.epochs) == (1, 1)
    assert not run.model.training
    assert set(run.metrics) >= {"train/Loss", "val/Loss", "val/Error"}


def test_opening_a_run_touches_nothing_in_its_folder(here):
    folder = holdfast.train(system, {"training": {"epochs": 1}, "logging": {"tensorboard": False}})
    before = sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*"))
    holdfast.load_run(folder, system=system)
    assert sorted((path, path.stat().st_mtime_ns) for path in folder.rglob("*")) == before


def test_python_can_go_on_with_a_run_by_the_same_call(here):
    config = {"run": {"name": "mine"}, "logging": {"tensorboard": False}}
    holdfast.train(system, {**config, "training": {"epochs": 1}}, resume="auto")
    folder = holdfast.train(system, {**config, "training": {"epochs": 2}}, resume="auto")
    assert holdfast.load_run(folder, checkpoint="latest", system=system).epoch == 2


def test_a_yaml_file_is_typed_by_the_system_that_it_names(here):
    (here / "exp.yaml").write_text("system: tests.tiny:system\nmodel: {width: 7}\n")
    config = holdfast.Config.from_yaml("exp.yaml")
    assert isinstance(config, TinyConfig)
    assert config.model.width == 7
    (here / "none.yaml").write_text("seed: 1\n")
    with pytest.raises(ConfigError, match=r"none.yaml: `system` must say"):
        holdfast.Config.from_yaml("none.yaml")
