"""Configuration keys as options of a command line."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from holdfast.config.document import read_value
from holdfast.config.layers import Layer
from holdfast.config.merging import merge
from holdfast.config.outline import Key, keys_of, kind_of, nearest
from holdfast.config.section import Section
from holdfast.config.tree import Node, Origin
from holdfast.errors import ConfigError

KNOWN_EVERYWHERE = {
    "b": "training.batch_size",
    "batch_size": "training.batch_size",
    "data_path": "data.path",
    "device": "device",
    "epochs": "training.epochs",
    "exp_name": "run.name",
    "gpu": "device",
    "j": "data.num_workers",
    "learning_rate": "training.lr",
    "lr": "training.lr",
    "name": "run.name",
    "num_workers": "data.num_workers",
    "output_dir": "run.root",
    "p": "logging.log_interval",
    "print_freq": "logging.log_interval",
    "save_dir": "run.root",
    "save_freq": "training.save_interval",
    "save_interval": "training.save_interval",
    "save_optimizer": "training.save_optimizer",
    "seed": "seed",
    "steps": "training.steps",
    "tensorboard": "logging.tensorboard",
    "workers": "data.num_workers",
}
"""Names that mean the same key in every system."""

_OPTION = re.compile(r"--?[A-Za-z_]")
_NULL = ("null", "~")


def parse_options(
    tokens: Sequence[str],
    schema: type[Section],
    *,
    aliases: Mapping[str, str],
    commands: Sequence[str] = (),
) -> Layer:
    """Reads words such as `--lr 5e-4 --training.epochs=3 --no-tensorboard -b 8`.

    A name is looked for among the aliases, then among the names known everywhere, then as a whole dotted path, and
    last as the last word of a path when it occurs only once. Hyphens and underscores are the same. When an option
    stands twice, the last one counts.

    Args:
        tokens: The words.
        schema: What they are options of.
        aliases: A system's own names for its keys, for example `{"h5": "data.path"}`.
        commands: Other options that the user may have meant, for the hint at a misspelled one.

    Raises:
        ConfigError: All unknown options, missing values and stray words at once.
    """
    names = _Names(schema, aliases, commands)
    words = deque(tokens)
    documents: list[Node] = []
    mistakes: list[str] = []
    while words:
        try:
            documents.append(_read_option(words, names))
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(*mistakes)
    empty = Node({}, Origin("command line"))
    return Layer("command line", (reduce(lambda low, high: merge(low, high, schema), documents, empty),))


class _Names:
    """What an option's name may mean."""

    def __init__(self, schema: type[Section], aliases: Mapping[str, str], commands: Sequence[str]) -> None:
        self._keys = keys_of(schema)
        self._short = KNOWN_EVERYWHERE | {_spelled(name): path for name, path in aliases.items()}
        self._commands = commands
        self._by_word: dict[str, list[str]] = {}
        for key in self._keys.values():
            if not key.is_plain_section:
                self._by_word.setdefault(key.word, []).append(key.path)

    def find(self, option: str) -> tuple[Key, bool]:
        """Gives the key that an option names, and whether the option says no to it."""
        name = _spelled(option)
        key = self._look_up(name)
        if key is not None:
            return key, False
        key = self._look_up(name[3:]) if name.startswith("no_") else None
        if key is None:
            raise ConfigError(f"unknown option `{option}`{self._hint(name)}; `holdfast config` lists every key")
        if "boolean" not in key.kinds:
            raise ConfigError(f"`{option}` must say no to a key that is true or false, but `{key.path}` is not")
        return key, True

    def _look_up(self, name: str) -> Key | None:
        path = self._short.get(name, name)
        if path in self._keys:
            return self._keys[path]
        paths = self._by_word.get(name, [])
        if len(paths) > 1:
            candidates = " or ".join(_as_option(path) for path in paths)
            raise ConfigError(f"`{_as_option(name)}` must name one key, but could be {candidates}; write one of these")
        return self._keys[paths[0]] if paths else None

    def _hint(self, name: str) -> str:
        known = [*self._short, *self._by_word, *map(_spelled, self._commands)]
        near = nearest(name, self._keys if "." in name else [each for each in known if len(each) > 1], limit=2)
        return f" (did you mean {' or '.join(f'`{_as_option(each)}`' for each in near)}?)" if near else ""


def _read_option(words: deque[str], names: _Names) -> Node:
    word = words.popleft()
    if not _OPTION.match(word):
        raise ConfigError(
            f"`{word}` must be an option (--KEY VALUE), but stands by itself; write a value of several words in quotes"
        )
    option, equals, text = word.partition("=")
    follows = None
    if equals:
        follows = text
    try:
        key, negated = names.find(option)
    except ConfigError:
        _skip_value(words, bool(equals))
        raise
    if negated and equals:
        raise ConfigError(f"`{option}` must stand alone, but got {word}; write {_as_option(key.path)}={text}")
    if follows is None and not negated and words and not _OPTION.match(words[0]):
        follows = words.popleft()
    origin = Origin(f"command line {option}")
    return _nested(key.path, Node.of(_value(option, follows, key, negated), origin))


def _skip_value(words: deque[str], has_value: bool) -> None:
    if not has_value and words and not _OPTION.match(words[0]):
        words.popleft()


def _value(option: str, text: str | None, key: Key, negated: bool) -> Any:
    if text is None:
        if "boolean" not in key.kinds:
            raise ConfigError(f"`{option}` must be followed by a value, but got none; write {option} VALUE")
        return not negated
    if _spelled(option) == "gpu":
        if not text.isdigit():
            raise ConfigError(
                f"`{option}` must be the number of a GPU, but got {text!r}; write {option} 0, or --device cpu"
            )
        return f"cuda:{text}"
    if key.kinds <= {"text", "null"}:
        return None if text in _NULL and "null" in key.kinds else text
    return _parsed(option, text, key)


def _parsed(option: str, text: str, key: Key) -> Any:
    try:
        value = read_value(text)
    except ConfigError as error:
        if "text" in key.kinds:
            return text
        reason = error.mistakes[0].partition(": ")[2]
        raise ConfigError(f"`{option}` must be a value as in YAML, but got {text!r}; {reason}") from error
    if "text" in key.kinds and (kind_of(value) not in key.kinds or isinstance(value, str)):
        return text
    return value


def _nested(path: str, node: Node) -> Node:
    for word in reversed(path.split(".")):
        node = Node({word: node}, node.origin)
    return node


def _spelled(option: str) -> str:
    """Gives an option's name without its dashes, with underscores."""
    return re.sub("^--?", "", option).replace("-", "_")


def _as_option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"
