"""A run from its first moment to its last, for the command line, for Python and for whoever starts many."""

from holdfast.launch.adopting import GoOnFrom
from holdfast.launch.beginning import InitFrom
from holdfast.launch.course import Course, course_of
from holdfast.launch.keeping import stores_of
from holdfast.launch.placing import existing_run
from holdfast.launch.running import Outcome, resume, start

__all__ = ["Course", "GoOnFrom", "InitFrom", "Outcome", "course_of", "existing_run", "resume", "start", "stores_of"]
