"""The judge of orders accepts the safe one and names what is wrong with every other."""

import pytest

from tests.faults.order import ACKNOWLEDGED, Event, faults_in

SAFE = [
    Event("create", "/c/.new"),
    Event("write", "/c/.new"),
    Event("sync", "/c/.new"),
    Event("rename", "/c/.new", "/c/epoch2"),
    Event("sync", "/c"),
    Event("link", "/c/epoch2", "/c/.again"),
    Event("rename", "/c/.again", "/c/latest"),
    Event("sync", "/c"),
    Event("remove", "/c/epoch1"),
    Event("sync", "/c"),
    ACKNOWLEDGED,
]
BEFORE = ["/c/epoch1", "/c/latest"]


def without(number):
    return SAFE[:number] + SAFE[number + 1 :]


def swapped(first, second):
    events = list(SAFE)
    events[first], events[second] = events[second], events[first]
    return events


def test_the_safe_order_has_no_fault():
    assert faults_in(SAFE, BEFORE) == []


@pytest.mark.parametrize(
    "events,fault",
    [
        (without(2), "epoch2 is renamed before its data is on the disk"),
        (without(4), "epoch2 gets another name before it is on the disk"),
        (without(7), "epoch1 is removed before latest is on the disk"),
        (swapped(2, 3), "epoch2 is renamed before its data is on the disk"),
        (swapped(1, 2), "epoch2 is renamed before its data is on the disk"),
        (swapped(4, 5), "epoch2 gets another name before it is on the disk"),
        (swapped(7, 8), "epoch1 is removed before latest is on the disk"),
        ([*SAFE[:7], ACKNOWLEDGED], "latest is called saved before it is on the disk"),
        ([Event("folder", "/c/dense"), ACKNOWLEDGED], "dense is called saved before it is on the disk"),
        ([Event("create", "/c/latest")], "latest is emptied in place"),
        ([Event("write", "/c/latest")], "latest is written in place"),
    ],
)
def test_each_other_order_is_named(events, fault):
    assert fault in faults_in(events, BEFORE)
