"""Trainings as people write them, each with one fault in how it saves or resumes: FAULT FOLDER."""

import os
import sys
from pathlib import Path

import torch

STEPS, INTERVAL = 6, 3


def write(state, path, *, whole):
    if not whole:
        torch.save(state, path)
        return
    torch.save(state, path.with_suffix(".tmp"))
    os.replace(path.with_suffix(".tmp"), path)


def train(fault, folder):
    folder.mkdir(exist_ok=True)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Dropout(0.5))
    optimizer = torch.optim.Adam(model.parameters())
    done, last = 0, folder / "last.pt"
    if last.exists():
        state = torch.load(last)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        done = state["step"]
        if fault != "forgets the generator":
            torch.set_rng_state(state["generator"])
        print(f"going on from step {done}")
    while done < STEPS:
        optimizer.zero_grad()
        model(torch.randn(4, 3)).square().sum().backward()
        optimizer.step()
        done += 1
        if done % INTERVAL == 0:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
            state["generator"] = torch.get_rng_state()
            if fault == "moves the latest later":
                write(state, folder / f"step{done}.pt", whole=True)
            write(state, last, whole=fault != "saves in place")
    (folder / "weights.txt").write_text(repr(model.state_dict()))


train(sys.argv[1], Path(sys.argv[2]))
