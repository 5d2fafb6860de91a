from examples.spirals import system

import holdfast


def test_the_example_system_learns(here):
    folder = holdfast.train(system, {"logging": {"tensorboard": False}})
    assert holdfast.load_run(folder, system=system).metrics["val/Accuracy"] >= 0.9
