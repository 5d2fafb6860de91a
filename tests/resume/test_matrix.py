"""The matrix: everything at once, ended at every moment in every way, and resumed to the bits of the uninterrupted run.

Everything is: shuffling, random augmentation, dropout, batch normalisation, accumulation of three microbatches (the
last step of an epoch has two), clipping, averaged weights, bf16, a rate that changes with every step after a warm-up,
evaluation, curves, and a save at every step. Evaluation in mid-epoch is not part of it, for it is not offered:
`training.eval_interval` counts epochs. Evaluations that are themselves ended in the middle are.

What is compared is `tests.processes.result`: SHA-256 of every part of the last state, the best, `metrics.jsonl`,
`metrics.csv`, the curves of TensorBoard, and which checkpoints are kept. A part of the matrix is ordinary, the rest is
long, and so is all of it on CUDA.
"""

import contextlib
import random
import shutil
import signal
from itertools import product
from pathlib import Path

import pytest
import torch

from tests.processes import result
from tests.resume.blows import (
    Act,
    AfterTheLastSave,
    At,
    BeforeTheFirstStep,
    Both,
    CountCalls,
    InEvaluation,
    KillAtCall,
    kill,
    nothing,
    saved_moment,
    session,
    stop,
)
from tests.resume.forgetting import Forget, Leave, Replace, digests, parts_of, saved

EVERYTHING = ["--epochs", "2", "--data.samples", "22", "--batch-size", "6", "--accumulation", "3", "--clip", "0.5"]
EVERYTHING += ["--ema", "0.9", "--amp", "bf16", "--optimizer", "adamw", "--weight-decay", "0.01"]
EVERYTHING += ["--schedule", "one_cycle", "--warmup", "1", "--log-interval", "1"]
EACH_STEP = ("--save-interval", "1 step")
EACH_THIRD = ("--save-interval", "3 steps")
MOMENTS = range(1, 11)
"""Two epochs of four steps, each followed by its end: 5 and 10."""
WORKERS = (0, 1, 2, 4)

# Four workers are more than a small machine has cores, which torch's loader says.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

# Counted by the driver's own library: asking CUDA itself would spoil it for every fork of this process.
HAS_CUDA = torch.cuda.device_count() > 0
ON_CUDA = [pytest.mark.long, pytest.mark.skipif(not HAS_CUDA, reason="no CUDA device here")]


def matrix(cases, *, ordinary, cases_on_cuda=None):
    """Parametrises over the cases and the devices: those that are not ordinary are long, and so is CUDA."""
    marks = {case: [] if case in ordinary else [pytest.mark.long] for case in cases}
    assert set(ordinary) <= set(marks)
    on_cpu = [pytest.param("cpu", case, marks=marks[case], id=f"cpu-{case}") for case in cases]
    on_cuda = [pytest.param("cuda", case, marks=ON_CUDA, id=f"cuda-{case}") for case in cases_on_cuda or cases]
    return pytest.mark.parametrize("device,case", on_cpu + on_cuda)


def train(name, device, *options, prepare: Act = nothing):
    words = ["train", "tests.tiny:system", "--name", name, "--device", device, *EVERYTHING, *options]
    return session(device, words, prepare)


def resume(device, *options, prepare: Act = nothing):
    return session(device, ["resume", "killed", *options], prepare)


def killed_and_resumed(here, device, blow, *options):
    """Gives what a run that was killed once ends as."""
    assert train("killed", device, *options, prepare=blow) == -signal.SIGKILL
    assert resume(device) == 0
    return result(here / "runs" / "killed")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Gives what the uninterrupted run ends as, by device and interval of saves."""
    known = {}

    def ends_as(device, interval=EACH_STEP):
        if (device, interval) not in known:
            with contextlib.chdir(tmp_path_factory.mktemp("whole")):
                assert train("whole", device, *interval) == 0
                known[device, interval] = result(Path("runs/whole"))
        return known[device, interval]

    return ends_as


@pytest.fixture(scope="module")
def calls_of_a_run(tmp_path_factory):
    """Gives how many calls of the system a run makes in its folder; a few less, for the display goes by the time."""
    known = {}

    def count(device):
        if device not in known:
            with contextlib.chdir(tmp_path_factory.mktemp("count")):
                note = Path("calls").absolute()
                assert train("whole", device, *EACH_STEP, prepare=CountCalls(Path("runs/whole").absolute(), note)) == 0
                known[device] = int(note.read_text()) * 95 // 100
        return known[device]

    return count


@matrix(MOMENTS, ordinary={5, 8, 10})
def test_a_run_killed_after_any_step_or_epoch_ends_with_the_same_bits(here, uninterrupted, device, case):
    assert killed_and_resumed(here, device, At(case), *EACH_STEP) == uninterrupted(device)


@matrix(MOMENTS, ordinary={7})
def test_steps_that_were_not_saved_are_done_again_with_the_same_bits(here, uninterrupted, device, case):
    assert killed_and_resumed(here, device, At(case), *EACH_THIRD) == uninterrupted(device, EACH_THIRD)


@matrix([InEvaluation(5), InEvaluation(10), AfterTheLastSave()], ordinary={InEvaluation(5), AfterTheLastSave()})
def test_a_run_killed_in_an_evaluation_or_before_its_end_is_noted_ends_with_the_same_bits(
    here, uninterrupted, device, case
):
    assert killed_and_resumed(here, device, case, *EACH_STEP) == uninterrupted(device)


@matrix(
    [(before, after, moment) for before, after in product(WORKERS, WORKERS) for moment in (3, 6, 9)],
    ordinary={(0, 2, 6), (4, 1, 3)},
)
def test_any_number_of_workers_goes_on_from_any_other_with_the_same_bits(here, uninterrupted, device, case):
    before, after, moment = case
    assert train("killed", device, *EACH_STEP, "--workers", str(before), prepare=At(moment)) == -signal.SIGKILL
    assert resume(device, "--workers", str(after)) == 0
    assert result(here / "runs" / "killed") == uninterrupted(device)


@matrix(range(60), ordinary={0, 1}, cases_on_cuda=range(10))
def test_a_run_killed_at_any_call_of_the_system_ends_with_the_same_bits(
    here, uninterrupted, calls_of_a_run, device, case
):
    number = random.Random(case).randrange(1, calls_of_a_run(device))
    blow = KillAtCall(here / "runs" / "killed", number)
    assert killed_and_resumed(here, device, blow, *EACH_STEP) == uninterrupted(device)


@matrix(range(1, 10), ordinary={6})
def test_a_run_stopped_by_sigterm_at_any_step_or_epoch_ends_with_the_same_bits(here, uninterrupted, device, case):
    assert train("killed", device, *EACH_THIRD, prepare=At(case, stop)) == 143
    assert saved_moment(here / "runs" / "killed") == case
    assert resume(device) == 0
    assert result(here / "runs" / "killed") == uninterrupted(device, EACH_THIRD)


def next_kill(chosen, moment, run_folder):
    """Chooses how a process dies that goes on at a moment: always before the end of the run."""
    ways: list[Act] = [At(moment + 1)]
    if moment + 1 in (5, 10):
        ways.append(InEvaluation(moment + 1))
    if moment <= 6:
        at_a_save = KillAtCall(run_folder / "checkpoints", chosen.randrange(1, 230))
        ways += [At(moment + 2), At(moment + 1, at_a_save)]
    return chosen.choice(ways)


def chain_of_ten_kills(here, device, seed):
    """Kills ten processes of a run, with a SIGTERM in between now and then, and lets the last one end."""
    chosen, run_folder = random.Random(seed), here / "runs" / "killed"
    code = train("killed", device, *EACH_STEP, prepare=next_kill(chosen, 0, run_folder))
    for _ in range(9):
        assert code == -signal.SIGKILL
        if (moment := saved_moment(run_folder)) < 8 and chosen.random() < 0.3:
            assert resume(device, prepare=At(moment + 1, stop)) == 143
        code = resume(device, prepare=next_kill(chosen, saved_moment(run_folder), run_folder))
    assert code == -signal.SIGKILL
    assert resume(device) == 0
    return result(run_folder)


@matrix(range(6), ordinary={0})
def test_a_chain_of_ten_kills_ends_with_the_same_bits(here, uninterrupted, device, case):
    assert chain_of_ten_kills(here, device, case) == uninterrupted(device)


def test_the_blows_reach_what_they_name(here):
    reached = []
    for number, blow in enumerate([At(3), At(4, stop), InEvaluation(5, kill), AfterTheLastSave()]):
        train(f"run{number}", "cpu", *EACH_STEP, prepare=blow)
        reached.append(saved_moment(here / "runs" / f"run{number}"))
    assert reached == [2, 4, 4, 10]


# What each saved part is for. The run has three epochs, and its first one stays the best.
# Without TensorBoard, for each session begins another file of curves, which a state names.
THREE_EPOCHS = ("--epochs", "3", "--mode", "max", "--no-tensorboard", *EACH_STEP)
IN_SCALED_HALVES = (*THREE_EPOCHS, "--amp", "fp16")
IN_MID_EPOCH, BEFORE_THE_END = At(13), InEvaluation(15)
SHOWS = [
    # a part that is forgotten, in a run that was killed, shows at the end of the run in
    ("epoch", IN_MID_EPOCH, "metrics.jsonl"),
    ("step", IN_MID_EPOCH, "model_state_dict"),
    ("samples", IN_MID_EPOCH, "samples"),
    ("model_state_dict", IN_MID_EPOCH, "model_state_dict"),
    ("optimizer_state_dict", IN_MID_EPOCH, "model_state_dict"),
    ("scaler_state_dict", IN_MID_EPOCH, "model_state_dict"),
    ("ema_state_dict.updates", IN_MID_EPOCH, "ema_state_dict"),
    ("ema_state_dict.model_state_dict", IN_MID_EPOCH, "ema_state_dict"),
    ("best_metric", IN_MID_EPOCH, "best"),
    ("best_step", IN_MID_EPOCH, "best_step"),
    ("scheduler_state_dict.rate", BEFORE_THE_END, "metrics.jsonl"),
    ("history.since_best", IN_MID_EPOCH, "history"),
    ("history.closed_at", AfterTheLastSave(), "metrics.jsonl"),
    ("history.tally.weight", IN_MID_EPOCH, "metrics.jsonl"),
    ("history.tally.total", IN_MID_EPOCH, "metrics.jsonl"),
    ("history.tally.parts", IN_MID_EPOCH, "metrics.jsonl"),
    ("history.journal", IN_MID_EPOCH, "metrics.jsonl"),
]
BUFFER = ("model_state_dict", "1.running_mean")
REDUNDANT = ["rng_state", "metric", "metrics", "scheduler_state_dict.base_rates"]
SAME_IN_A_RUN_THAT_BEGINS = [
    "version",
    "stage",
    "model_versions",
    "ema_state_dict.model_versions",
    "data_state.order_version",
    "data_state.length",
]
SAME_IN_A_RUN_THAT_BEGINS += ["config", "metadata"]
NOT_READ = ["model_versions", "ema_state_dict.model_versions", "scheduler_state_dict.base_rates"]


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory):
    """Gives a copy of a run that was killed, and what it would have ended as."""
    known = {}

    def copied(here, blow, options=THREE_EPOCHS):
        if (blow, options) not in known:
            with contextlib.chdir(tmp_path_factory.mktemp("killed")):
                assert train("whole", "cpu", *options) == 0
                assert train("killed", "cpu", *options, prepare=blow) == -signal.SIGKILL
                known[blow, options] = (Path("runs/killed").absolute(), result(Path("runs/whole")))
        folder, whole = known[blow, options]
        shutil.copytree(folder, here / "runs" / "killed", symlinks=True)
        return here / "runs" / "killed", whole

    return copied


def keys(part):
    return tuple(part.split("."))


def long_but_for(ordinary, cases):
    return [pytest.param(*case, marks=[] if case[0] in ordinary else [pytest.mark.long]) for case in cases]


@pytest.mark.parametrize(
    "part,blow,where", long_but_for({"optimizer_state_dict", "history.tally.total", "best_step"}, SHOWS)
)
def test_a_part_that_is_forgotten_shows_at_the_end(here, killed_once, part, blow, where):
    options = IN_SCALED_HALVES if part == "scaler_state_dict" else THREE_EPOCHS
    folder, whole = killed_once(here, blow, options)
    code = resume("cpu", prepare=Forget(keys(part)))
    assert code != 0 or result(folder)[where] != whole[where]


@pytest.mark.long
def test_a_buffer_that_is_forgotten_shows_at_the_end(here, killed_once):
    folder, whole = killed_once(here, IN_MID_EPOCH)
    assert resume("cpu", prepare=Forget(BUFFER)) == 0
    assert result(folder)["model_state_dict"] != whole["model_state_dict"]


def test_the_generators_are_saved_but_needed_by_nothing_for_every_draw_has_a_key(here, killed_once):
    folder, whole = killed_once(here, IN_MID_EPOCH)
    assert resume("cpu", prepare=Forget(("rng_state",))) == 0
    assert result(folder) == whole


@pytest.mark.long
@pytest.mark.parametrize("part", ["metric", "metrics"])
@pytest.mark.parametrize("moment", [11, 13])
def test_the_last_evaluation_describes_its_own_state_and_is_needed_by_no_later_one(here, killed_once, part, moment):
    folder, whole = killed_once(here, At(moment))
    assert resume("cpu", prepare=Forget((part,))) == 0
    assert result(folder) == whole


@pytest.mark.long
def test_the_rates_that_a_schedule_begins_with_come_from_the_configuration_not_from_the_state(here, killed_once):
    folder, whole = killed_once(here, IN_MID_EPOCH)
    assert resume("cpu", prepare=Replace(("scheduler_state_dict", "base_rates"), (99.0,))) == 0
    assert result(folder) == whole


@pytest.mark.parametrize("moment", long_but_for({13}, [(moment,) for moment in range(2, 16)]))
def test_a_run_that_stops_before_its_first_step_saves_what_it_has_read(here, killed_once, moment):
    folder, _ = killed_once(here, At(moment))
    before = digests(folder)
    assert resume("cpu", prepare=BeforeTheFirstStep()) == 143
    assert digests(folder) == before


FORGETTABLE = [part for part, *_ in SHOWS] + ["rng_state", "metric", "metrics"]


@pytest.mark.parametrize("part", long_but_for({"rng_state"}, [(part,) for part in FORGETTABLE]))
def test_a_part_that_is_forgotten_shows_at_once_in_what_is_saved_next(here, killed_once, part):
    # Only the end of an epoch has a metric, and only its middle has means in progress.
    moment = At(11) if part == "metric" else IN_MID_EPOCH
    folder, _ = killed_once(here, moment, IN_SCALED_HALVES)
    before = digests(folder)
    assert resume("cpu", prepare=Both(Forget(keys(part)), BeforeTheFirstStep())) == 143
    assert digests(folder)[part] != before[part]


def test_every_part_that_is_saved_has_its_place_in_these_tests(here, killed_once):
    folder, _ = killed_once(here, IN_MID_EPOCH, IN_SCALED_HALVES)
    known = {part for part, *_ in SHOWS} | set(REDUNDANT) | set(SAME_IN_A_RUN_THAT_BEGINS)
    assert {".".join(part) for part in parts_of(saved(folder))} == known


ALL_PARTS = FORGETTABLE + SAME_IN_A_RUN_THAT_BEGINS
NEEDED = [part for part in ALL_PARTS if part not in {*NOT_READ, "optimizer_state_dict"}]


@pytest.mark.parametrize("part", long_but_for({"samples", "version"}, [(part,) for part in NEEDED]))
def test_a_part_that_was_not_saved_stops_the_resume_which_names_it(here, part):
    leaving = Both(Leave(keys(part)), At(4))
    assert train("killed", "cpu", *IN_SCALED_HALVES, prepare=leaving) == -signal.SIGKILL
    assert resume("cpu") != 0
    # Without these two a file is no checkpoint at all.
    named = "that can be read" if part in {"epoch", "step"} else keys(part)[-1]
    assert named in (here / "output.log").read_text().splitlines()[-1]
