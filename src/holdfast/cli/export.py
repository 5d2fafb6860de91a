"""`holdfast export`."""

from __future__ import annotations

from pathlib import Path


def export(
    source: str, out: str, /, *, checkpoint: str | None = None, system: str | None = None, overwrite: bool = False
) -> int:
    """Write the weights of a checkpoint and nothing else; averaged ones when there are some.

    A .pth opens with torch.load(path, weights_only=True) and goes into model.load_state_dict.

    Args:
        source: A checkpoint, ours or foreign, a run folder, or a run's name (its best checkpoint, else its latest).
        out: The new file: .pth, .pt or .safetensors.
        checkpoint: latest, best or a file of the run.
        system: Whose own old formats are known; those of all built-in systems by default.
        overwrite: Replace a file that has this name.
    """
    from holdfast.checkpoint.exporting import SAFETENSORS, TORCH, check_target, export_weights, weights_to_export
    from holdfast.checkpoint.layouts import read_any
    from holdfast.cli.checkpoints import layouts_of, locate
    from holdfast.cli.tables import count_text, size_text

    target = Path(out).expanduser()
    check_target(target, kinds=(*TORCH, SAFETENSORS), overwrite=overwrite)
    found = read_any(locate(source, choice=checkpoint, prefer=("best", "latest")), layouts_of(system))
    weights, _ = weights_to_export(found)
    is_averaged = export_weights(found, target)
    numbers = sum(tensor.numel() for tensor in weights.values())
    done = ", ".join(f"{name} {found.state[name]}" for name in ("epoch", "step") if name in found.state)
    print(f"using {found.path}{f' ({done})' if done else ''}")
    print(
        f"{target}: {'averaged weights' if is_averaged else 'weights'}, {numbers:,} numbers in "
        f"{count_text(len(weights), 'tensor')}, {size_text(target.stat().st_size)}"
    )
    return 0
