"""Eyes packed block by block, each block kept once it is done, so that a killed conversion goes on with the next one.

A block is kept under a name that says what it was made of: which files as they are, and which options. What has
changed since is therefore made anew, and nothing else is.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from holdfast import durable
from holdfast.errors import DataError
from holdfast.systems.glint.annotations import ADVICE, Annotation
from holdfast.systems.glint.config import ConvertOptions
from holdfast.systems.glint.eye_images import Unreadable, read_grey, resized
from holdfast.systems.glint.eye_writing import Block
from holdfast.systems.glint.maps import draw_maps


@dataclass
class Report:
    """What was left out and why."""

    source: Path
    """The folder from which file names are counted."""
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """File and reason."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Shapes that are no glints, and how many files have each."""

    def skip(self, path: Path, reason: str) -> None:
        """Adds a file."""
        self.skipped.append((path.relative_to(self.source).as_posix(), reason))

    @contextmanager
    def skipping(self, path: Path, bad: str) -> Iterator[None]:
        """Lets a bad file stop everything, or be skipped."""
        try:
            yield
        except DataError as error:
            if bad == "stop":
                raise
            self.skip(path, str(error).removeprefix(f"{path}: ").removesuffix(ADVICE))


class Packer:
    """Makes blocks of eyes, and keeps them.

    Args:
        options: How they are made.
        size: Height and width of the images.
        place: The folder where blocks are kept.
        report: What was skipped is added to it.
        tell: Is called after each eye.
    """

    def __init__(
        self,
        options: ConvertOptions,
        size: tuple[int, int],
        place: Path,
        report: Report,
        tell: Callable[[], None],
    ) -> None:
        self._options = options
        self._size = size
        self._place = place
        self._report = report
        self._tell = tell
        self.count = 0
        """Eyes in all blocks so far."""
        self.found = 0
        """Those of them that an earlier attempt had made."""

    def part(self, annotations: Sequence[Annotation]) -> Path:
        """Gives the file of a block, made now or by an earlier attempt."""
        path = self._place / f"{self._key(annotations)}.npz"
        is_new = not _is_whole(path)
        if is_new:
            skipped = Report(self._report.source)
            durable.write_file(path, _as_bytes(self._block(annotations, skipped), skipped))
        else:
            for _ in annotations:
                self._tell()
        with np.load(path) as kept:
            made = len(json.loads(str(kept["stems"])))
            self._report.skipped += [(name, reason) for name, reason in json.loads(str(kept["skipped"]))]
        self.count += made
        self.found += 0 if is_new else made
        return path

    def _key(self, annotations: Sequence[Annotation]) -> str:
        """Gives a name that differs for other files, changed files and other options."""
        digest = hashlib.blake2b(digest_size=12)
        digest.update(f"{self._options.model_dump_json()} {self._size} {self._report.source.resolve()}".encode())
        for annotation in annotations:
            for path in (annotation.path, annotation.picture):
                if isinstance(path, Path):
                    entry = path.stat()
                    digest.update(f"{path} {entry.st_size} {entry.st_mtime_ns}".encode())
        return digest.hexdigest()

    def _block(self, annotations: Sequence[Annotation], report: Report) -> Block:
        images, maps, present, stems = [], [], [], []
        for annotation in annotations:
            with report.skipping(annotation.path, self._options.bad):
                picture = self._picture(annotation)
                width, height = self._size[1], self._size[0]
                maps.append(self._maps(annotation, picture))
                images.append(np.array(resized(picture, (width, height))))
                present.append([glint in annotation.circles for glint in range(self._options.num_glints)])
                stems.append(annotation.path.relative_to(report.source).with_suffix("").as_posix())
            self._tell()
        side = [length // self._options.stride for length in self._size]
        return Block(
            images=np.array(images, np.uint8).reshape(-1, *self._size),
            heatmaps=np.array(maps, np.float16).reshape(-1, self._options.num_glints, *side),
            present=np.array(present, np.uint8).reshape(-1, self._options.num_glints),
            stems=stems,
        )

    def _picture(self, annotation: Annotation) -> Image.Image:
        """Gives the picture, once it is sure that the circles were drawn on it."""
        is_file = isinstance(annotation.picture, Path)
        name = f"{annotation.path}: {annotation.picture if is_file else '`imageData`'}"
        try:
            image = read_grey(annotation.picture)
        except Unreadable as reason:
            raise DataError(f"{name} must be a picture, but cannot be read ({reason}); replace it{ADVICE}") from reason
        if annotation.said_size not in (None, image.size):
            width, height = annotation.said_size or image.size
            raise DataError(
                f"{name} must be of {width} x {height} as the Labelme file says, but is of {image.width} x "
                f"{image.height}; bring back the picture that was labelled{ADVICE}"
            )
        for glint, (x, y, _) in annotation.circles.items():
            if not (-0.5 <= x <= image.width - 0.5 and -0.5 <= y <= image.height - 0.5):
                raise DataError(
                    f"{annotation.path}: `{self._options.prefix}{glint + 1}` must lie in the picture of {image.width} "
                    f"x {image.height}, but its centre is {x + 0.5:g}, {y + 0.5:g}; draw it anew{ADVICE}"
                )
        return image

    def _maps(self, annotation: Annotation, picture: Image.Image) -> NDArray[np.float16]:
        options = self._options
        scale = np.array([self._size[1] / picture.width, self._size[0] / picture.height])
        circles = [annotation.circles.get(glint, (0.0, 0.0, 0.0)) for glint in range(options.num_glints)]
        x, y, radius = np.array(circles).T
        places = (np.stack([x, y], axis=1) + 0.5) * scale - 0.5
        sigma = np.maximum(options.sigma_min, radius * options.sigma_scale)[:, None] * scale
        sigma = np.maximum(sigma, options.sigma_floor * options.stride)
        present = [glint in annotation.circles for glint in range(options.num_glints)]
        return draw_maps(places, sigma, present, size=self._size, stride=options.stride)


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """Gives the hidden folder for the blocks.

    It goes when all is done, or when a bad file has stopped everything; whatever else ends the work leaves it there.
    """
    place = target.with_name(f".{target.name}.parts")
    is_new = not target.parent.exists()
    durable.make_folder(place)
    lock = durable.Lock(place / ".lock")
    if not lock.acquire():
        raise DataError(
            f"`convert` must be alone with {target}, but another process writes it; wait for it or stop it."
        )
    durable.remove_temporary_files(place)
    durable.remove_temporary_files(target.parent, target.name)
    try:
        yield place
    except DataError:
        _remove(place, target.parent if is_new else None)
        raise
    else:
        _remove(place, None)
    finally:
        lock.release()


def _remove(place: Path, folder: Path | None) -> None:
    shutil.rmtree(place)
    if folder:
        with suppress(OSError):
            folder.rmdir()


def _as_bytes(block: Block, report: Report) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(  # maps are nearly empty: a hundredth of the bytes is left
        content,
        images=block.images,
        heatmaps=block.heatmaps,
        present=block.present,
        stems=np.array(json.dumps(block.stems)),
        skipped=np.array(json.dumps(report.skipped)),
    )
    return content.getvalue()


def _is_whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except zipfile.BadZipFile:
        return False


def read_part(path: Path) -> Block:
    """Gives a block that was kept."""
    with np.load(path) as kept:
        return Block(kept["images"], kept["heatmaps"], kept["present"], json.loads(str(kept["stems"])))
