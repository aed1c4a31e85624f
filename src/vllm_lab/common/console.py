"""What a script shows a person, in a terminal and in a log: one-line errors, log lines, progress."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mini_vllm.errors import MiniError
from vllm_lab.common.errors import LabError

Item = TypeVar("Item")


def run(main: Callable[[], None]) -> None:
    """Call `main`. An error that the user can correct ends the process with status 1 and one line."""
    try:
        main()
    except (LabError, MiniError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader has stopped (… | head); nothing must be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log(message: str) -> None:
    """Write one line for the rule's log."""
    print(message, file=sys.stderr, flush=True)


def progress(
    items: Iterable[Item], *, desc: str, total: float | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Iterate with a progress bar on stderr; in a log (no terminal) a line every ten seconds instead."""
    from tqdm import tqdm  # here, since archives are verified where nothing is installed

    interval = 0.2 if sys.stderr.isatty() else 10.0
    yield from tqdm(
        items, desc=desc, total=total, unit=unit, unit_scale=True, mininterval=interval, ascii=True
    )
