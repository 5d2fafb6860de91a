import subprocess
import sys

import holdfast.config


def test_the_public_names_are_sorted_and_there():
    assert list(holdfast.config.__all__) == sorted(holdfast.config.__all__)
    assert all(hasattr(holdfast.config, name) for name in holdfast.config.__all__)


def test_configuration_needs_no_torch():
    code = "import holdfast.config, sys; print([name for name in ('torch', 'numpy') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
