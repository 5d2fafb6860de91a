import shutil
from pathlib import Path

import pytest

from holdfast.systems.glint.samples import make_data, make_raw


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small data set (`eyes`) and the same eyes as raw data (`raw`)."""
    folder = tmp_path_factory.mktemp("made")
    make_data(folder / "eyes", 24, 1, image_size=64)
    make_raw(folder / "raw", 24, 1, image_size=64)
    return folder


@pytest.fixture
def eyes(made: Path, here: Path) -> str:
    """The path of the data set, copied into the current folder."""
    shutil.copy(made / "eyes" / "eyes_64.h5", here / "train_64.h5")
    return "train_64.h5"
