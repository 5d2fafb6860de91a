from hypothesis import given
from hypothesis import strategies as st

from holdfast.checkpoint.retention import FEWEST, Keep, Numbered


def epochs(*counts, metrics=None):
    metrics = metrics or {}
    return [Numbered(f"checkpoint_epoch{n}.pth", epoch=n, step=10 * n, metric=metrics.get(n)) for n in counts]


def kept(keep, checkpoints):
    return [name for name, reasons in keep.reasons(checkpoints).items() if reasons]


def test_the_last_ones_are_kept_by_what_they_have_done_not_by_their_names():
    assert kept(Keep(last=2), epochs(9, 10, 11)) == ["checkpoint_epoch11.pth", "checkpoint_epoch10.pth"]


def test_the_rules_are_a_union_and_each_says_so():
    keep = Keep(last=2, best=1, mode="max", every=4, milestones=frozenset({1}))
    reasons = keep.reasons(epochs(1, 2, 3, 4, 5, 6, metrics={3: 0.9, 5: 0.5, 6: float("nan")}))
    assert reasons == {
        "checkpoint_epoch6.pth": ["one of the last 2"],
        "checkpoint_epoch5.pth": ["one of the last 2"],
        "checkpoint_epoch4.pth": ["every 4 epochs"],
        "checkpoint_epoch3.pth": ["one of the best 1"],
        "checkpoint_epoch2.pth": [],
        "checkpoint_epoch1.pth": ["milestone 1"],
    }


def test_the_best_follow_the_direction_of_the_metric():
    checkpoints = epochs(1, 2, 3, 4, metrics={1: 0.1, 2: 0.9, 3: 0.5, 4: 0.6})
    assert "checkpoint_epoch1.pth" in kept(Keep(last=2, best=1, mode="min"), checkpoints)
    assert "checkpoint_epoch2.pth" in kept(Keep(last=2, best=1, mode="max"), checkpoints)


def test_a_checkpoint_in_the_middle_of_an_epoch_is_not_the_milestone_of_that_epoch():
    middle = Numbered("checkpoint_step15.pth", epoch=1, step=15)
    keep = Keep(last=2, milestones=frozenset({1}))
    assert kept(keep, [*epochs(1, 2, 3), middle]) == [
        "checkpoint_epoch3.pth",
        "checkpoint_epoch2.pth",
        "checkpoint_epoch1.pth",
    ]


@given(
    st.lists(st.integers(1, 60), unique=True),
    st.integers(1, 5),
    st.integers(0, 3),
    st.none() | st.integers(1, 7),
    st.frozensets(st.integers(1, 60)),
)
def test_whatever_the_rules_the_two_newest_and_all_that_a_rule_wants_are_kept(counts, last, best, every, milestones):
    metrics = {n: float(n % 7) for n in counts}
    names = set(kept(Keep(last, best, "min", every, milestones), epochs(*counts, metrics=metrics)))
    wanted = {n for n in counts if n in milestones or (every and n % every == 0)}
    wanted |= set(sorted(counts)[-max(last, FEWEST) :])
    assert {f"checkpoint_epoch{n}.pth" for n in wanted} <= names
    assert len(names) <= len(wanted) + best
