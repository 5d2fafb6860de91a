"""A training from within its folder, so that its configuration does not depend on where that is: FOLDER WORDS...

The system's module is in `code`, with nothing else, for a run keeps a copy of what lies beside it.
"""

import os
import sys

from holdfast.cli.main import main

sys.path.insert(0, os.path.abspath("code"))
os.makedirs(sys.argv[1], exist_ok=True)
os.chdir(sys.argv[1])
main(sys.argv[2:])
