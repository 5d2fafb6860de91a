"""A loop of one's own over a stream, to be proved; the environment variable STREAM chooses the stream."""

import os

import torch
from torch.nn import functional as F

import holdfast
from tests.own_loop import streams

with holdfast.open_run("runs/mine", seed=3, save_interval="5 minutes", tensorboard=False) as run:
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    run.track(model=model, optimizer=optimizer)
    stream = getattr(streams, os.environ["STREAM"])()
    for _ in run.epochs(2):
        for inputs, targets in run.batches(stream, batch_size=4):
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            run.step(loss=loss)
