"""`holdfast make-data`."""

from __future__ import annotations

from pathlib import Path

from holdfast.errors import UserError


def make_data(system: str, folder: str, /, *, samples: int = 320, seed: int = 1000, raw: bool = False) -> int:
    """Make a small generated data set in a system's real on-disk format; `--data-path DIR` then takes it.

    Args:
        system: A built-in system or your own, package.module:name.
        folder: Where the files go; created when missing.
        samples: How many samples, held-out ones included.
        seed: Another seed makes other samples.
        raw: Write the same samples into DIR/raw as well, as the raw data that `holdfast convert` takes.
    """
    from holdfast.systems import load_system

    if samples < 1:
        raise UserError(f"`--samples` must be at least 1, but got {samples}; 320 is what `tiny` presets are made for.")
    chosen = load_system(system)
    if chosen.make_data is None:
        raise UserError(f"`make-data` must be something the system can do, but {system!r} does not offer it.")
    if Path(folder).exists() and not Path(folder).is_dir():
        raise UserError(f"`make-data` must write into a folder, but {folder} is a file; choose another.")
    raw_folder = Path(folder) / "raw"
    if raw and chosen.make_raw is None:
        raise UserError(f"`--raw` must be something the system can do, but {system!r} has no raw data; leave it out.")
    if raw and raw_folder.exists():
        raise UserError(f"`--raw` must write a new folder, but {raw_folder} exists; remove it or choose another DIR.")
    print(chosen.make_data(Path(folder), samples, seed))
    if raw and chosen.make_raw is not None:
        print(chosen.make_raw(raw_folder, samples, seed))
        print(f"next: holdfast convert {system} {raw_folder} {folder}-converted")
    print(f"next: holdfast train {system} --preset tiny --data-path {folder}")
    return 0
