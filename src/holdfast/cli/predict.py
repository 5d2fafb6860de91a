"""`holdfast predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from holdfast.errors import UserError

KeyWords = Annotated[list[str], Parameter(show=False)]


def predict(
    run: str,
    /,
    *inputs: str,
    output_dir: str | None = None,
    checkpoint: str | None = None,
    json: bool = False,
    key_words: KeyWords = [],  # noqa: B006 - read only
) -> int:
    """Predict on files of your own: JSON and pictures.

    Args:
        run: A run folder, its name, or a checkpoint in it.
        inputs: Files or folders of what the system reads.
        output_dir: Where pictures and predictions.json go; created when missing.
        checkpoint: latest, best or a file of the run; the best by default, else the latest.
        json: Print one JSON document and nothing else.
    """
    from holdfast import durable
    from holdfast.cli.documents import json_text, print_json
    from holdfast.cli.requests import read_words
    from holdfast.cli.trained import open_trained

    paths = _checked_inputs(inputs, output_dir)
    trained = open_trained(run, choice=checkpoint, options=lambda system: read_words(key_words, system))
    if trained.system.predict is None:
        raise UserError(
            f"`predict` must be something the system can do, but {trained.system.name!r} does not offer it."
        )
    assert output_dir is not None
    folder = Path(output_dir)
    durable.make_folder(folder)
    if not json:
        print(f"using {trained.checkpoint} (epoch {trained.epoch}, step {trained.step})")
    records = []
    for record in trained.system.predict(trained.config, trained.model, paths, folder):
        records.append(record)
        if not json:
            print(f"{record['input']} -> {record['picture']}")
    document = {"checkpoint": str(trained.checkpoint), "predictions": records}
    durable.write_file(folder / "predictions.json", json_text(document) + "\n")
    if json:
        print_json(document)
    else:
        print(f"{len(records)} predictions in {folder / 'predictions.json'}")
    return 0


def _checked_inputs(inputs: tuple[str, ...], output_dir: str | None) -> list[Path]:
    if not inputs:
        raise UserError(
            "`predict` must be given files to predict on, but got none; name files or a folder after the run."
        )
    if output_dir is None:
        raise UserError("`--output-dir` must say where the pictures go, but got nothing; add --output-dir DIR.")
    paths = [Path(text) for text in inputs]
    for path in paths:
        if not path.exists():
            raise UserError(f"`predict` must be given files that exist, but got {path}; look at the spelling.")
    if Path(output_dir).exists() and not Path(output_dir).is_dir():
        raise UserError(f"`--output-dir` must be a folder, but {output_dir} is a file; choose another.")
    return paths
