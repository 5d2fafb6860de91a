import random

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from holdfast.data.batches import Batches, Composer
from holdfast.data.order import Order
from holdfast.engine.evaluate import Evaluation, evaluate, evaluation_mode
from holdfast.engine.system import Loss
from holdfast.randomness import Keys


def distance(model, batch):
    outputs = model(batch[0])
    return Loss((outputs - batch[1]).abs().sum(), float(len(batch[0])), {"half": 0.5}, outputs)


class Count:
    def __init__(self):
        self.samples = 0

    def update(self, outputs, batch):
        assert not outputs.requires_grad
        self.samples += len(outputs)

    def result(self):
        return {"Count": float(self.samples)}


def evaluation(batch_size=4, pictures=None):
    data = TensorDataset(torch.arange(10.0).view(10, 1), torch.zeros(10, 1))
    batches = Batches(Composer(data, None, 1, "e"), Order(10, shuffle=None), batch_size=batch_size)
    return Evaluation(batches, distance, Count, pictures, Keys(1, "e", "noise"), torch.device("cpu"))


@pytest.mark.parametrize("batch_size", [1, 3, 4, 10])
def test_each_sample_counts_once_whatever_the_batch_size(batch_size):
    scores = evaluate(evaluation(batch_size), nn.Identity())
    assert scores.values == {"Loss": 4.5, "half": 0.5, "Count": 10.0}


def test_evaluation_leaves_modes_and_generators_as_they_were():
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(1))
    model[1].eval()
    random.seed(1)
    expected = random.random()
    random.seed(1)
    evaluate(evaluation(), model)
    assert random.random() == expected
    assert [module.training for module in model] == [True, False]


def test_a_failed_block_puts_the_modes_back_too():
    model = nn.Dropout()
    with pytest.raises(KeyError), evaluation_mode(model):
        raise KeyError
    assert model.training


def test_pictures_are_made_of_the_first_batch():
    scores = evaluate(evaluation(pictures=lambda model, batch: {"first": batch[0]}), nn.Identity())
    assert scores.pictures["first"].flatten().tolist() == [0, 1, 2, 3]


def test_progress_is_told_and_can_end_it():
    told = []

    def stop_at_two(done):
        told.append(done)
        if done == 2:
            raise StopAsyncIteration

    with pytest.raises(StopAsyncIteration):
        evaluate(evaluation(), nn.Identity(), progress=stop_at_two)
    assert told == [1, 2]
