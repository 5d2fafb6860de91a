"""`holdfast prune`."""

from __future__ import annotations

from contextlib import closing


def prune(run: str, /, *, explain: bool = False) -> int:
    """Remove the numbered checkpoints of a run that none of its rules keeps.

    The rules are those of its configuration: the last ones, the best ones, every so many, and milestones.

    Args:
        run: A run folder or its name.
        explain: Only say which rule keeps which file; remove nothing.
    """
    from holdfast.launch import stores_of
    from holdfast.run.find import find_run
    from holdfast.run.folder import RunFolder

    folder = RunFolder(find_run(run))
    if explain:
        for store in stores_of(folder):
            for name, reasons in store.explain().items():
                print(f"{store.folder / name}: {' and '.join(reasons) or 'kept by no rule: prune removes it'}")
        return 0
    removed = []
    with folder.lock():
        for store in stores_of(folder):
            with closing(store):
                removed += store.prune()
    for path in removed:
        print(f"removed {path}")
    print(f"{len(removed)} removed")
    return 0
