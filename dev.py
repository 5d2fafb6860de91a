#!/usr/bin/env python3
"""Everything one does with a checkout of Holdfast; sets itself up on first use, needs only Python 3.11.

python3 dev.py demo            trains a small network on generated data, and shows what came of it
python3 dev.py test            format, lint, types, import contracts, dependencies, spelling, tests
python3 dev.py test --long     the long proofs and learning runs, part by part (or: --long NAME)
python3 dev.py check           the checks without the tests
python3 dev.py format          formats the code and sorts the imports
python3 dev.py bench [NAME]    a benchmark (--quick: only that it runs); without a name: lists them
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / "python"
CHECKS = (
    ("format", "ruff", "format", "--check", "--quiet", "."),
    ("lint", "ruff", "check", "--quiet", "."),
    ("types", "pyright", "--warnings"),
    ("import contracts", "lint-imports"),
    ("unused and missing dependencies", "deptry", "src"),
    (
        "spelling",
        "codespell",
        "src",
        "tests",
        "docs",
        "benchmarks",
        "examples",
        "dev.py",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
    ),
)


def main() -> None:
    if sys.version_info < (3, 11):
        sys.exit(
            "Holdfast needs Python 3.11 or newer, but this is %d.%d; start dev.py with another." % sys.version_info[:2]
        )
    tasks = {"demo": demo, "test": test, "check": check, "format": tidy, "bench": bench}
    if len(sys.argv) < 2 or sys.argv[1] not in tasks:
        sys.exit((__doc__ or "").strip())
    set_up()
    sys.exit(tasks[sys.argv[1]](sys.argv[2:]))


def set_up() -> None:
    """Makes `.venv` and installs into it what pyproject.toml asks for, when either has changed."""
    wanted = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        wanted.update((ROOT / name).read_bytes())
    stamp = VENV / "installed.sha256"
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    if not PYTHON.exists():
        print("making .venv", flush=True)
        made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False)
        if made.returncode:
            shutil.rmtree(VENV, ignore_errors=True)
            sys.exit("could not make .venv; on Debian and Ubuntu: apt install python3-venv")
    print("installing into .venv (about a minute the first time)", flush=True)
    install = [str(PYTHON), "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev]"]
    if subprocess.run(install, cwd=ROOT, check=False).returncode:
        sys.exit("could not install; the lines above say why")
    stamp.write_text(wanted.hexdigest())


def check(words: list[str]) -> int:
    """Runs every check, and names the ones that fail."""
    failed = [name for name, *command in CHECKS if not _passes(name, command)]
    if failed:
        print("failed:", ", ".join(failed))
    return 1 if failed else 0


def test(words: list[str]) -> int:
    """Runs the checks and the ordinary tests, or the long ones part by part."""
    if "--long" in words:
        return _test_long([word for word in words if word != "--long"])
    started = time.monotonic()
    checked = 0 if words else check([])
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    parallel = [] if words else ["-n", "2", "--dist", "worksteal"]
    tested = _run([BIN / "pytest", "-m", "not long", *parallel, *words], env=environment)
    print(f"{time.monotonic() - started:.0f} s")
    return checked or tested


def _test_long(names: list[str]) -> int:
    """Each file with long tests is a part."""
    parts = [path for path in sorted((ROOT / "tests").rglob("test_*.py")) if "mark.long" in path.read_text()]
    chosen = [path for path in parts if not names or any(name in str(path) for name in names)]
    worst = 0
    if any(path.is_relative_to(ROOT / "tests" / "migrate") for path in chosen):
        # The libraries whose checkpoints are read; nothing else needs them.
        _run([PYTHON, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev,migrate]"])
    for path in chosen:
        started = time.monotonic()
        worst = _run([BIN / "pytest", "-m", "long", "--timeout", "900", "-s", path]) or worst
        print(f"{path.relative_to(ROOT)}: {time.monotonic() - started:.0f} s", flush=True)
    return worst


def tidy(words: list[str]) -> int:
    """Formats the code and sorts the imports."""
    return _run([BIN / "ruff", "check", "--quiet", "--fix", "."]) | _run([BIN / "ruff", "format", "--quiet", "."])


def bench(words: list[str]) -> int:
    """Runs one benchmark script, or lists them."""
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py")) if not path.stem.startswith("_")}
    if not words or words[0] not in scripts:
        print("benchmarks:", ", ".join(scripts))
        return 0 if not words else 2
    return _run([PYTHON, scripts[words[0]], *words[1:]])


def demo(words: list[str]) -> int:
    """Makes data, trains, evaluates, predicts, kills a training to show that it ends the same, says what is next."""
    folder = Path("demo")
    name = _unused(folder / "runs", "first")
    run = folder / "runs" / name
    commands = [
        ["make-data", "glint", str(folder / "data")],
        [
            "train",
            "glint",
            "--preset",
            "tiny",
            "--data-path",
            str(folder / "data"),
            "--output-dir",
            str(folder / "runs"),
            "--name",
            name,
        ],
        ["evaluate", str(run)],
        ["predict", str(run), str(folder / "data" / "images"), "--output-dir", str(run / "predictions")],
        ["prove", "glint", "--preset", "tiny", "--data-path", str(folder / "data"), "--epochs", "2", "--kills", "2"],
    ]
    if (ROOT / folder / "data").exists():
        commands.pop(0)
    for command in commands:
        print("\n$ holdfast", " ".join(command), flush=True)
        if code := _run([PYTHON, "-m", "holdfast", *command]):
            return code
    activate = ".venv\\Scripts\\activate" if os.name == "nt" else "source .venv/bin/activate"
    print(
        f"""
What the network sees: {run}/predictions/*.png    What it did: {run}

Next, after `{activate}`:
  tensorboard --logdir {folder}/runs              curves and pictures, at http://localhost:6006
  holdfast resume {run} --epochs 40       train it further (stop it with Ctrl-C, resume it again)
  holdfast runs {folder}/runs                     every run at a glance
  holdfast config glint                       every setting, and where it came from"""
    )
    return 0


def _unused(folder: Path, name: str) -> str:
    count = 1
    while (ROOT / folder / (name if count == 1 else f"{name}-{count}")).exists():
        count += 1
    return name if count == 1 else f"{name}-{count}"


def _passes(name: str, command: list[str]) -> bool:
    started = time.monotonic()
    existing = [word for word in command if "." not in word[1:] or (ROOT / word).exists()]
    done = subprocess.run(
        [str(BIN / existing[0]), *existing[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    print(f"{'ok' if done.returncode == 0 else 'FAILED':7}{name} ({time.monotonic() - started:.1f} s)", flush=True)
    if done.returncode:
        print(done.stdout + done.stderr)
    return done.returncode == 0


def _run(command: list[object], env: dict[str, str] | None = None) -> int:
    return subprocess.run([str(word) for word in command], cwd=ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    main()
