"""One storage read as numbers of several widths."""

import os

import pytest
import torch

from holdfast.checkpoint import archive


@pytest.mark.parametrize("start", range(5))
def test_a_wider_view_of_a_storage_is_read_right_wherever_the_live_tensor_begins(start, tmp_path):
    narrow = torch.arange(4.0)
    descriptor = os.open(tmp_path / "state.pth", os.O_RDWR | os.O_CREAT)
    archive.write(descriptor, {"narrow": narrow, "wide": narrow.view(torch.float64)})
    os.close(descriptor)
    live = torch.zeros(9)[start : start + 4]
    with archive.checked(tmp_path / "state.pth") as found:
        state = found.load({("narrow",): live}.get)
    assert live.tolist() == [0, 1, 2, 3]
    assert torch.equal(state["wide"], narrow.view(torch.float64))
