"""The folder that `Accelerator.save_state` writes."""

from __future__ import annotations

import re
from collections.abc import Mapping

from holdfast.checkpoint.layouts.layout import Translated
from holdfast.checkpoint.layouts.parts import generators
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.checkpoint.layouts.weights import has_weights, weights_of_folder

_OPTIMIZER, _SCHEDULER, _SCALER, _GENERATORS = "optimizer.bin", "scheduler.bin", "scaler.pt", "random_states_0.pkl"
_MARKS = (_OPTIMIZER, _SCHEDULER, _GENERATORS)
_FURTHER = re.compile(
    r"(model_\d+\.safetensors|pytorch_model_\d+\.bin|(optimizer|scheduler|sampler|dl_state_dict)(_\d+)?\.bin"
    r"|random_states_[1-9]\d*\.pkl|custom_checkpoint_\d+\.pkl)"
)
_NEVER = (
    *("epoch", "step", "samples", "scheduler_state_dict", "ema_state_dict", "data_state"),
    *("metric", "best_metric", "best_step", "metrics", "config"),
)


class AccelerateFolder:
    """What `Accelerator.save_state` saves; it keeps no counters and no settings."""

    name = "Accelerate"

    def recognises(self, source: Source) -> bool:
        """Says whether the folder holds weights beside an optimizer, a scheduler or generators."""
        return has_weights(source) and any(name in source.names for name in _MARKS)

    def translate(self, source: Source) -> Translated:
        """Gives weights, optimizer, schedule, scaler and generators of the first process."""
        translation = Translation(self.name, source)
        translation.put_weights(weights_of_folder(source), "weights")
        taken = {_GENERATORS}
        if _OPTIMIZER in source.names:
            translation.put_optimizer(source.read(_OPTIMIZER), _OPTIMIZER)
            taken.add(_OPTIMIZER)
        if _SCHEDULER in source.names and "scheduler_1.bin" not in source.names:
            translation.put("scheduler_state_dict", source.read(_SCHEDULER), _SCHEDULER)
            taken.add(_SCHEDULER)
        scaler = _SCALER in source.names
        translation.put("scaler_state_dict", source.read(_SCALER) if scaler else None, _SCALER)
        if _GENERATORS in source.names:
            _take_generators(translation, source)
        for name in sorted(source.names - taken):
            if _FURTHER.fullmatch(name):
                translation.leave(name, "nothing of ours corresponds to it")
        return translation.done(_NEVER)


def _take_generators(translation: Translation, source: Source) -> None:
    held = source.read(_GENERATORS)
    found = None
    if isinstance(held, Mapping):
        names = ("random_state", "numpy_random_seed", "torch_manual_seed", "torch_cuda_manual_seed")
        found = generators(*(held.get(name) for name in names))
    if found is None:
        translation.leave(_GENERATORS, "not the generators of Python, NumPy and PyTorch")
    else:
        translation.put("rng_state", found, _GENERATORS)
