"""A judge that is not ours kills a training at its file events, resumes it, and says what came of that."""

import pytest

from tests.faults.judging import judge_holdfast, judge_rival


def verdicts(rows):
    return {row.verdict for row in rows}


def killed(rows):
    """Gives the rows with a kill; each one must have come, but a SIGTERM after the last step stops nothing."""
    assert rows[0].label.startswith("no crash")
    assert all(row.crashed or row.label.endswith("[term]") for row in rows[1:])
    return rows[1:]


def test_a_training_that_is_killed_at_a_file_event_passes(memory):
    rows = judge_holdfast(memory / "judged", modes=("before", "torn", "term"), max_points=9)
    assert len(killed(rows)) == 9
    assert {None, 3, 4} <= {row.outcome.resumed_from_step for row in rows}
    assert verdicts(rows) == {"PASS"}


@pytest.mark.parametrize(
    "fault,modes,verdict",
    [
        ("saves in place", ("torn",), "HARD_FAIL"),
        ("forgets the generator", ("before",), "SILENT_DIVERGENCE"),
        ("moves the latest later", ("before",), "LOST_WORK"),
    ],
)
def test_a_script_with_a_fault_does_not_pass(memory, fault, modes, verdict):
    rows = judge_rival(fault, memory / "judged", modes=modes)
    assert rows[0].verdict == "PASS" and verdicts(killed(rows)) == {"PASS", verdict}


@pytest.mark.long
def test_a_training_passes_at_every_file_event_by_kill_torn_file_and_sigterm(memory):
    rows = judge_holdfast(memory / "judged", modes=("before", "torn", "term"))
    started = {row.outcome.resumed_from_step for row in killed(rows)}
    print(f"\n{len(rows)} verdicts; went on from {sorted(step for step in started if step)}")
    assert {3, 6, 8} <= started
    assert verdicts(rows) == {"PASS"}
