"""`holdfast inspect`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from holdfast.checkpoint.description import Description, Weight

_MOST_ROWS = 24
_MOST_LEFT = 8
_MOST_ENTRIES = 200
_MOST_ITEMS = 8
_MOST_LINES = 10_000


def inspect(
    path: str, /, *, checkpoint: str | None = None, system: str | None = None, tree: bool = False, json: bool = False
) -> int:
    """Show what is in a checkpoint, ours or foreign; nothing that it holds is run.

    Args:
        path: A checkpoint, a folder as Hugging Face or Accelerate write it, a run folder, or a run's name.
        checkpoint: latest, best or a file of the run; the latest by default.
        system: Whose own old formats are known; those of all built-in systems by default.
        tree: Show every key.
        json: Print one JSON document and nothing else.
    """
    from holdfast.checkpoint.description import describe
    from holdfast.cli.checkpoints import layouts_of, locate
    from holdfast.cli.documents import print_json
    from holdfast.cli.tables import WIDTH, clean

    found = describe(locate(path, choice=checkpoint), layouts_of(system))
    if json:
        print_json(found.as_dict())
    elif tree:
        print(found.path)
        for line in islice(_tree(found.content, 1), _MOST_LINES):
            print(clean(line if len(line) <= WIDTH else f"{line[: WIDTH - 1]}…"))
    else:
        _print(found)
    return 0


def _print(found: Description) -> None:
    from holdfast.checkpoint.contents import flat
    from holdfast.cli.tables import print_columns, print_fields, short

    print(found.path)
    print_fields(_fields(found))
    if config := flat(found.config):
        print(f"\nconfig ({_some(len(config), _MOST_ROWS)})")
        print_columns([(short(name), short(_setting(value), 50)) for name, value in list(config.items())[:_MOST_ROWS]])
    rows = [(short(part.name), short(part.what), *_tensors(part.tensors, part.bytes)) for part in found.parts]
    if rows and not _are_weights(found):
        print(f"\nkeys ({_some(len(rows), _MOST_ENTRIES)})")
        print_columns(rows[:_MOST_ENTRIES], right=(2, 3))
    if found.weights:
        _print_weights(found.weights)


def _fields(found: Description) -> Iterator[tuple[str, str]]:
    from holdfast.cli.tables import count_text, size_text

    packed = ", ".join(dict.fromkeys(found.containers.values()))
    yield "layout", f"{found.layout or 'unknown'} ({packed}), {size_text(found.size)}"
    done = found.counters
    counts = ", ".join(f"{name} {done[name]}" for name in ("epoch", "step", "samples") if name in done)
    yield "done", (counts or "it does not say") + (f" (stage {done['stage']})" if "stage" in done else "")
    if best := _best(found.scores):
        yield "best", best
    metrics = found.scores.get("metrics")
    if isinstance(metrics, Mapping):
        yield "metrics", ", ".join(f"{name} {_number(value)}" for name, value in metrics.items())
    note = found.optimizer
    if note is None:
        yield "optimizer", "none"
    else:
        rates = ", ".join(f"{rate:.6g}" for rate in dict.fromkeys(note.rates))
        moments = f"{', '.join(note.moments) or 'nothing'} of {count_text(note.parameters, 'parameter')}"
        yield "optimizer", f"{moments}, rate {rates or 'unknown'}, {size_text(note.bytes)}"
    if found.averaged:
        yield "average", f"averaged weights, {size_text(sum(weight.bytes for weight in found.averaged))}"
    origin = {name: value for name, value in found.origin.items() if not isinstance(value, Mapping | list | tuple)}
    if origin:
        yield "origin", ", ".join(f"{name} {value}" for name, value in origin.items())
    for line in found.translated.notes:
        yield "note", line
    if found.translated.absent:
        yield "never there", ", ".join(found.translated.absent)
    if found.left:
        named = "; ".join(f"{one.name} ({one.why})" for one in found.left[:_MOST_LEFT])
        more = len(found.left) - _MOST_LEFT
        yield "not taken", f"{named}{f'; and {more} more' if more > 0 else ''}"
    if unknown := found.translated.opaque:
        more = len(unknown) - _MOST_LEFT
        named = f"{', '.join(unknown[:_MOST_LEFT])}{f' and {more} more' if more > 0 else ''}"
        yield "not made", f"{named} (unknown classes, named only)"


def _best(scores: Mapping[str, Any]) -> str:
    best, now, step = (scores.get(name) for name in ("best_metric", "metric", "best_step"))
    words = [] if best is None else [f"{_number(best)}{f' at step {step}' if step is not None else ''}"]
    words += [] if now is None else [f"this state {_number(now)}"]
    return ", ".join(words)


def _are_weights(found: Description) -> bool:
    """Says whether the file is nothing but the weights that are listed anyway."""
    return bool(found.weights) and {part.name for part in found.parts if part.tensors == 1} == {
        weight.name for weight in found.weights
    }


def _print_weights(weights: Sequence[Weight]) -> None:
    from holdfast.cli.tables import count_text, print_columns, short, size_text

    numbers, size = sum(weight.numbers for weight in weights), sum(weight.bytes for weight in weights)
    types = ", ".join(dict.fromkeys(weight.type for weight in weights))
    print(f"\nweights ({numbers:,} numbers in {count_text(len(weights), 'tensor')}, {size_text(size)}, {types})")
    if len(weights) <= _MOST_ROWS:
        rows = [
            (short(weight.name), str(list(weight.shape)), weight.type, f"{weight.numbers:,}", size_text(weight.bytes))
            for weight in weights
        ]
        print_columns(rows, right=(3, 4))
        return
    groups = _grouped(weights)
    rows = [
        (short(name), count_text(len(inner), "tensor"), f"{sum(w.numbers for w in inner):,}", _bytes(inner))
        for name, inner in groups.items()
    ]
    print_columns(rows[:_MOST_ROWS], right=(1, 2, 3))
    more = f"and {len(rows) - _MOST_ROWS} more; " if len(rows) > _MOST_ROWS else ""
    print(f"  {more}--tree and --json show every tensor")


def _grouped(weights: Sequence[Weight]) -> dict[str, list[Weight]]:
    """Gives the weights by the first words of their names, by as many words as fit the screen."""
    grouped: dict[str, list[Weight]] = {}
    for depth in range(1, 20):
        deeper: dict[str, list[Weight]] = {}
        for weight in weights:
            deeper.setdefault(".".join(weight.name.split(".")[:depth]), []).append(weight)
        if grouped and (len(deeper) > _MOST_ROWS or len(deeper) == len(grouped)):
            break
        grouped = deeper
    return grouped


def _bytes(weights: Sequence[Weight]) -> str:
    from holdfast.cli.tables import size_text

    return size_text(sum(weight.bytes for weight in weights))


def _tensors(count: int, size: int) -> tuple[str, str]:
    from holdfast.cli.tables import count_text, size_text

    return (count_text(count, "tensor"), size_text(size)) if count else ("", "")


def _setting(value: Any) -> str:
    from holdfast.checkpoint.contents import in_words

    return value if isinstance(value, str) and value.isprintable() else in_words(value)


def _some(count: int, shown: int) -> str:
    return str(count) if count <= shown else f"{shown} of {count}; --json shows all"


def _number(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def _tree(content: Any, level: int) -> Iterator[str]:
    """Gives a line for each key, and below it what lies in it; of long lists only the beginning."""
    from holdfast.checkpoint.contents import entries, in_words
    from holdfast.cli.tables import short

    inner = list(entries(content))
    shown = inner[: _MOST_ITEMS if isinstance(content, list | tuple) else _MOST_ENTRIES]
    width = min(40, max((len(str(name)) for name, _ in shown), default=0))
    for name, value in shown:
        yield f"{'  ' * level}{short(str(name), 60):<{width}}  {in_words(value)}"
        yield from _tree(value, level + 1)
    if len(inner) > len(shown):
        yield f"{'  ' * level}... and {len(inner) - len(shown)} more"
