"""A run from its first moment to its last, for the command line, for Python and for whoever starts many."""

from holdfast.launch.placing import existing_run
from holdfast.launch.running import Outcome, resume, start, stores_of

__all__ = ["Outcome", "existing_run", "resume", "start", "stores_of"]
