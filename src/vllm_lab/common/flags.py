"""Command line flags that several commands share, each defined once."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

DEVICES = ("cpu", "cuda")


def parse(
    argv: Sequence[str] | None,
    description: str | None,
    *more: Callable[[argparse.ArgumentParser], None],
    several: Mapping[str, str] | None = None,
    **paths: str,
) -> argparse.Namespace:
    """The arguments of a script: required `paths`, lists of paths (`several`), and the flags that `more` add.

    parse(argv, __doc__, add_model, several={"traces": "the traces"}, output="JSON to write")
    """
    parser = parser_of(description, **paths)
    for name, meaning in (several or {}).items():
        parser.add_argument(spelt(name), type=Path, nargs="+", required=True, help=meaning)
    for add_flags in more:
        add_flags(parser)
    return parser.parse_args(argv)


def parser_of(
    description: str | None, parents: Sequence[argparse.ArgumentParser] = (), **paths: str
) -> argparse.ArgumentParser:
    """A parser with required `paths` that prints `description` (a module's docstring) as it is written."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=formatter, parents=parents)
    add_paths(parser, **paths)
    return parser


def add_paths(parser: argparse.ArgumentParser, **paths: str) -> None:
    """Add a required path for each keyword: add_paths(parser, trace="the trace", output="JSON to write")."""
    for name, meaning in paths.items():
        parser.add_argument(spelt(name), type=Path, required=True, help=meaning)


def add_settings(parser: argparse.ArgumentParser, kinds: Mapping[str, type], section: str) -> None:
    """Add a required flag for each setting of a section of config.yaml: name -> type."""
    for name, kind in kinds.items():
        parser.add_argument(spelt(name), type=kind, required=True, help=f"config: {section}.{name}")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add the checkpoint's folder and the device that runs it."""
    add_paths(parser, model_dir="the checkpoint's folder, such as results/data/model")
    add_device(parser, required=True)


def add_device(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """Add the device that runs the model; the CPU where it may be left out."""
    default = None if required else "cpu"
    parser.add_argument("--device", choices=DEVICES, required=required, default=default)


def add_rendering(parser: argparse.ArgumentParser) -> None:
    """Add the conversations, and the checkpoint's folder, template and policy that render them."""
    add_paths(parser, conversations="conversations.parquet", model_dir="the checkpoint's folder")
    parser.add_argument("--chat-template", required=True, help="tokenizer, plain, or a Jinja file")
    parser.add_argument("--default-system-prompt", choices=("keep", "drop"), required=True)


def spelt(name: str) -> str:
    """A setting's name as a flag: max_num_seqs -> --max-num-seqs."""
    return f"--{name.replace('_', '-')}"


def positive(given: str) -> int:
    """A whole number above 0, for `type=`."""
    number = int(given)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{given}: expected a number above 0")
    return number
