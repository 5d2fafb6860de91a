"""Weights and nothing else: a state dict, a whole network that was pickled, safetensors, a folder of a model."""

from __future__ import annotations

from torch import Tensor

from holdfast.checkpoint.foreign.refusals import shown
from holdfast.checkpoint.layouts.layout import PARTS, WEIGHTS, Translated
from holdfast.checkpoint.layouts.parts import weights_in
from holdfast.checkpoint.layouts.source import Source
from holdfast.checkpoint.layouts.translation import Translation
from holdfast.errors import CheckpointError

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
WHOLE = ("model.safetensors", "pytorch_model.bin")
ALL_BUT_WEIGHTS = tuple(part for part in PARTS if part != WEIGHTS)


class BareWeights:
    """A file that holds weights by their names."""

    name = "bare weights"

    def recognises(self, source: Source) -> bool:
        """Says whether the file holds tensors by their names, or a whole network."""
        return weights_in(source.content) is not None

    def translate(self, source: Source) -> Translated:
        """Gives the weights; everything else was never there."""
        translation = Translation(self.name, source)
        translation.put_weights(weights_in(source.content) or {}, "weights")
        return translation.done(ALL_BUT_WEIGHTS)


class ModelFolder:
    """A folder with the weights of a model, in one file or in several with an index."""

    name = "folder of weights"

    def recognises(self, source: Source) -> bool:
        """Says whether the folder holds weights under the names that Hugging Face gives them."""
        return has_weights(source)

    def translate(self, source: Source) -> Translated:
        """Gives the weights; everything else was never there."""
        translation = Translation(self.name, source)
        translation.put_weights(weights_of_folder(source), "weights")
        if "config.json" in source.names:
            translation.put_config({"config.json": source.read_json("config.json")})
        return translation.done(ALL_BUT_WEIGHTS)


def has_weights(source: Source) -> bool:
    """Says whether a folder holds weights under the names that Hugging Face gives them."""
    return source.is_folder and any(name in source.names for name in (*INDEXES, *WHOLE))


def weights_of_folder(source: Source) -> dict[str, Tensor]:
    """Gives the weights of a folder.

    Raises:
        CheckpointError: When a file that the index names is missing, or holds another set of weights.
    """
    for name in WHOLE:
        if name in source.names:
            return _weights_of_file(source, name)
    index = next(name for name in INDEXES if name in source.names)
    places = source.read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(file, str) for file in places.values()):
        raise CheckpointError(f"`{source.path / index}` must say which file holds which weight; bring it back.")
    files = {file: _weights_of_file(source, file) for file in sorted(set(places.values()))}
    lost = [weight for weight, file in places.items() if weight not in files[file]]
    if lost:
        where = shown(places[lost[0]])
        raise CheckpointError(
            f"`{source.path}` must hold every weight of its index, but got no {shown(lost[0])} in {where}; "
            "bring the file back."
        )
    # The index is sorted by name; the files themselves keep the order of the network, where their format does.
    found = ((file, weight, tensor) for file, weights in files.items() for weight, tensor in weights.items())
    return {weight: tensor for file, weight, tensor in found if places.get(weight) == file}


def _weights_of_file(source: Source, name: str) -> dict[str, Tensor]:
    weights = weights_in(source.read(name))
    if weights is None:
        raise CheckpointError(f"`{source.path / name}` must hold weights by their names, but got something else.")
    return weights
