"""Labelme files and their pictures become one HDF5 file that training reads.

Everything is checked before the long work begins. The work is done in blocks of 64 eyes; each is kept, once done,
under a name that says what it was made of, in a hidden folder beside the file that will be. A conversion that was
killed finds them there when it is called again; what has changed meanwhile is done anew.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from holdfast import durable
from holdfast.errors import DataError
from holdfast.systems.glint.annotations import Annotation, read_annotation
from holdfast.systems.glint.config import SIDE_MULTIPLE, SMALLEST_SIDE, ConvertOptions
from holdfast.systems.glint.eye_images import pictures_in
from holdfast.systems.glint.eye_writing import BLOCK, Drawing, write_eyes
from holdfast.systems.glint.packing import Packer, Report, read_part, workplace

Progress = Callable[[int, int], None]

_SHOWN = 5
"""Skipped files that are named on the screen; the report has all."""


def convert(options: ConvertOptions, source: Path, folder: Path, progress: Progress) -> str:
    """Packs every Labelme file below a folder, with its picture, into one HDF5 file; says what came of it.

    Args:
        options: How.
        source: The folder; Labelme files in folders below it count, too.
        folder: Where the HDF5 file goes, and beside it what was skipped and why, as a CSV file.
        progress: Is told how many eyes are done, and of how many.

    Raises:
        DataError: When something about a file is not as it must be; nothing is left of what was begun.
    """
    report = Report(source)
    annotations = _annotations(options, report)
    size = _size(options, annotations)
    name = f"eyes_{size[0]}" if size[0] == size[1] else f"eyes_{size[0]}x{size[1]}"
    target, list_of_skipped = folder / f"{name}.h5", folder / f"{name}_skipped.csv"
    if target.exists():
        raise DataError(f"`convert` must write a new file, but {target} exists; remove it or choose another folder.")
    done = 0

    def tell() -> None:
        nonlocal done
        done += 1
        progress(done, len(annotations))

    with workplace(target) as place:
        packer = Packer(options, size, place, report, tell)
        blocks = [annotations[start : start + BLOCK] for start in range(0, len(annotations), BLOCK)]
        parts = [packer.part(block) for block in blocks]
        if packer.count == 0:
            raise DataError(f"{source} must hold an eye that can be used, but got none; {_first_reason(report)}")
        drawing = Drawing(sigma_scale=options.sigma_scale, sigma_min=options.sigma_min, prefix=options.prefix)
        durable.write_file(list_of_skipped, _csv(report))
        # The data set last: its existence means that all is there.
        write_eyes(target, map(read_part, parts), packer.count, drawing, compression=options.compression)
    earlier = f", {packer.found} of them made by an earlier attempt" if packer.found else ""
    return "\n".join([f"wrote {packer.count} eyes to {target}{earlier}", *_left_out(report, list_of_skipped)])


def _annotations(options: ConvertOptions, report: Report) -> list[Annotation]:
    """Reads and checks all Labelme files, and that their pictures are there."""
    source = report.source
    if not source.is_dir():
        raise DataError(f"`convert` must be given a folder of Labelme files, but got {source}; look at the spelling.")
    files = sorted(path for path in source.rglob("*.json") if path.is_file() and not _is_hidden(path, source))
    if not files:
        raise DataError(f"{source} must hold Labelme files (.json), but holds none; name the folder that does.")
    found: list[Annotation] = []
    for path in files:
        with report.skipping(path, options.bad):
            annotation = read_annotation(
                path,
                num_glints=options.num_glints,
                prefix=options.prefix,
                ignore=(options.ignore,) if isinstance(options.ignore, str) else options.ignore,
                empty=options.empty == "keep",
            )
            report.ignored.update(set(annotation.ignored))
            found.append(annotation)
    if not found:
        raise DataError(f"{source} must hold an eye that can be used, but got none; {_first_reason(report)}")
    labelled = {path.with_suffix("") for path in files}
    labelled |= {one.picture.with_suffix("") for one in found if isinstance(one.picture, Path)}
    for folder in sorted({path.parent for path in files}):
        for picture in pictures_in(folder):
            if picture.with_suffix("") not in labelled:
                report.skip(picture, "it has no Labelme file")
    return found


def _is_hidden(path: Path, source: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(source).parts)


def _first_reason(report: Report) -> str:
    name, reason = report.skipped[0]
    return f"the first of {len(report.skipped)} that were skipped is {name}: {reason}."


def _size(options: ConvertOptions, annotations: Sequence[Annotation]) -> tuple[int, int]:
    """Gives height and width of the images: what was asked for, or what all pictures have."""
    if isinstance(options.size, int):
        return options.size, options.size
    if options.size is not None:
        return options.size
    sizes = {annotation.said_size for annotation in annotations}
    if len(sizes) == 1 and (only := sizes.pop()) is not None:
        width, height = only
        if not (width % SIDE_MULTIPLE or height % SIDE_MULTIPLE) and min(width, height) >= SMALLEST_SIDE:
            return height, width
        got = f"{width} x {height}"
    else:
        got = f"pictures of {len(sizes)} sizes" if len(sizes) != 1 else "Labelme files that do not say it"
    raise DataError(
        f"`--size` must say how large the images are to be, for the network needs them alike, with sides that are "
        f"multiples of {SIDE_MULTIPLE}, but got none and {got}; add for example --size 256."
    )


def _csv(report: Report) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "reason"])
    writer.writerows(report.skipped)
    return text.getvalue()


def _left_out(report: Report, list_of_skipped: Path) -> list[str]:
    """Gives what to say of files and shapes that are not in the data set."""
    lines: list[str] = []
    if report.skipped:
        lines.append(f"skipped {len(report.skipped)} files, all in {list_of_skipped}:")
        lines += [f"  {name}: {reason}" for name, reason in report.skipped[:_SHOWN]]
        lines += ["  ..."] if len(report.skipped) > _SHOWN else []
    return lines + [f"ignored {shape} in {files} files" for shape, files in sorted(report.ignored.items())]
