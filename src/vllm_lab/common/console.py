"""What a script shows a person: one-line errors, log lines and progress, alike in a terminal and a log."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from mini_vllm.errors import MiniError
from vllm_lab.common.errors import LabError

Item = TypeVar("Item")


def run(main: Callable[[], None]) -> None:
    """Call `main`; what the user can mend ends the process with status 1 and one line, no traceback."""
    try:
        main()
    except (LabError, MiniError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from None
    except BrokenPipeError:  # the reader has seen enough (… | head); nothing is left to flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def log(message: str) -> None:
    """Write one line for the rule's log."""
    print(message, file=sys.stderr, flush=True)


def progress(
    items: Iterable[Item], *, desc: str, total: float | None = None, unit: str = "it"
) -> Iterator[Item]:
    """Iterate with a progress bar on stderr; in a log (no terminal) a line every ten seconds instead."""
    from tqdm import tqdm  # here, for what runs where nothing is installed: verifying an archive

    interval = 0.2 if sys.stderr.isatty() else 10.0
    yield from tqdm(
        items, desc=desc, total=total, unit=unit, unit_scale=True, mininterval=interval, ascii=True
    )
