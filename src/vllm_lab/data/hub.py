"""A checkpoint from the Hugging Face hub, at one commit."""

import os
import re
import sys
from pathlib import Path

import httpx

from vllm_lab.common.errors import LabError
from vllm_lab.data.checkpoint import PATTERNS


def fetch(repo: str, revision: str, folder: str | os.PathLike, endpoint: str | None = None) -> None:
    """Download configs, tokenizer, template and safetensors of `repo` at commit `revision` to `folder`.

    What an interrupted download left in `folder` is used again. Raises LabError for a revision that is not a
    commit (a branch moves, and the result would with it), and where the hub does not answer or refuses.
    """
    if not re.fullmatch("[0-9a-f]{40}", revision):
        raise LabError(
            f"model revision {revision!r}: not a commit; take the 40 hexadecimal digits that the hub shows "
            "under 'Files and versions' of the model"
        )
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
        from huggingface_hub.utils import disable_progress_bars
    except ImportError as error:
        raise LabError(
            f"{repo}: the hub needs huggingface_hub ({error}); install the environment of envs/"
        ) from error
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        snapshot_download(
            repo, revision=revision, local_dir=Path(folder), allow_patterns=list(PATTERNS), endpoint=endpoint
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LabError(
            f"{repo} at {revision}: the hub's download failed ({reason}); check name, revision and "
            "endpoint, or take the model from a folder"
        ) from error
