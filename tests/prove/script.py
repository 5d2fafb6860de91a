"""A loop of one's own over the tiny data; the environment variable FLAW names what is done wrong."""

import os

import torch
from torch.nn import functional as F

import holdfast
from tests.tiny import Noisy

FLAW = os.environ.get("FLAW")


class Forgetful(torch.optim.lr_scheduler.LinearLR):
    """A scheduler that does not come back to where it was."""

    def load_state_dict(self, state_dict):
        pass


with holdfast.open_run("runs/mine", seed=3, save_interval="5 minutes", tensorboard=False) as run:
    first = torch.nn.Linear(3, 8)
    model = torch.nn.Sequential(first, torch.nn.Dropout(0.3), torch.nn.Linear(8, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    schedule = Forgetful if FLAW == "scheduler" else torch.optim.lr_scheduler.LinearLR
    scheduler = schedule(optimizer, 1.0, 0.1, total_iters=10)
    run.track(model=model, scheduler=scheduler)
    if FLAW != "untracked":
        run.track(optimizer=optimizer)
    for _ in run.epochs(2):
        for inputs, targets in run.batches(Noisy(20), batch_size=4):
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            run.step(loss=loss)
            scheduler.step()
        run.record(val_size=float(first.weight.detach().norm()))
