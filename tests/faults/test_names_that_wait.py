"""A state whose further names could not be made is saved, and the run says so."""

import errno
import re
from pathlib import Path

from tests.faults.calls import refuses
from tests.faults.disks import failing_at_saves
from tests.processes import forked, result

TRAIN = ["train", "tests.tiny:system", "--no-tensorboard", "--save-interval", "1", "--epochs", "4"]


def test_a_state_that_could_not_become_the_latest_is_not_called_lost(memory):
    assert forked([*TRAIN, "--name", "whole"]) == 0
    assert forked([*TRAIN, "--name", "hurt"], prepare=failing_at_saves({3}, refuses(errno.EIO, "link"))) == 1
    lines = Path("output.log").read_text()
    assert "could not save" not in lines
    assert re.search(
        r"step 15 is saved as checkpoint_epoch3\.pth, but its further names or the removal of old ones have to wait: "
        r"Input/output error; the next save tries again",
        lines,
    )
    assert result(memory / "runs" / "hurt") == result(memory / "runs" / "whole")
