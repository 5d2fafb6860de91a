"""`holdfast evaluate`."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

KeyWords = Annotated[list[str], Parameter(show=False)]


def evaluate(
    run: str,
    /,
    *,
    checkpoint: str | None = None,
    json: bool = False,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Evaluate a run's best checkpoint (or its latest) on the held-out data.

    Args:
        run: A run folder, its name, or a checkpoint in it.
        checkpoint: latest, best or a file of the run.
        json: Print one JSON document and nothing else.
    """
    from holdfast.cli.documents import print_json
    from holdfast.cli.requests import read_words
    from holdfast.cli.trained import open_trained
    from holdfast.trained import evaluate as evaluate_run

    trained = open_trained(run, choice=checkpoint, options=lambda system: read_words(key_words, system))
    if not json:
        print(f"using {trained.checkpoint} (epoch {trained.epoch}, step {trained.step})")
    scores = evaluate_run(trained)
    if json:
        named = {name.lower(): value for name, value in scores.items()}
        print_json({"checkpoint": str(trained.checkpoint), "epoch": trained.epoch, "step": trained.step, **named})
    else:
        for name, value in scores.items():
            print(f"{name.lower():<20} {value:.6g}")
    return 0
