"""What `holdfast prove` asks of a loop of one's own by the environment: a trace of its steps, and a kill."""

from __future__ import annotations

import os

from holdfast.engine.own_reading import Reading
from holdfast.engine.trace import KILL_AFTER_STEP, kill_after_step, open_trace
from holdfast.engine.tracked import Tracked


class Watch:
    """Leaves the trace of a loop and kills its process after a step, where that is asked for."""

    def __init__(self) -> None:
        self._trace = open_trace()
        self.is_on = self._trace is not None or KILL_AFTER_STEP in os.environ

    def begin(self, step: int, tracked: Tracked) -> None:
        """Notes the state from which this process goes on."""
        if self._trace:
            self._trace.begin(step=step, model=tracked.model(), parts=tracked.beside_model())

    def after_step(self, step: int, loss: float, reading: Reading, tracked: Tracked) -> None:
        """Notes a step, and ends the process if this is the one after which it is to be killed."""
        if self._trace:
            drawn = reading.drawn
            self._trace.step(
                step=step,
                indices=reading.indices(),
                batch=drawn[0] if len(drawn) == 1 else drawn,
                loss=loss,
                model=tracked.model(),
                parts=tracked.beside_model(),
            )
        kill_after_step(step)
