"""The files of this project that a script depends on, found from its imports without running it."""

import ast
from functools import cache
from pathlib import Path

PACKAGES = ("vllm_lab", "mini_vllm")


def code_of(script: str, root: Path = Path()) -> list[str]:
    """The script, all modules of PACKAGES that it imports at any depth, and the data files beside them.

    Sorted. All paths are relative to `root`, the project's root. Imports inside functions count. The modules
    of other packages are not listed, since the environment's lock covers them.
    """
    found = {script}
    pending = list(_imported(root / script))
    while pending:
        module = pending.pop()
        path = _module_file(module, root)
        if path is None or path.as_posix() in found:
            continue
        found.add(path.as_posix())
        found.update(_data_files(path.parent, root))
        pending += _imported(root / path)
        package = module.rpartition(".")[0]
        if package:
            pending.append(package)
    return sorted(found)


@cache
def _imported(file: Path) -> tuple[str, ...]:
    """Dotted names that the file imports from PACKAGES; for `from a import b` both a and a.b."""
    names: list[str] = []
    for node in ast.walk(ast.parse(file.read_bytes(), filename=str(file))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return tuple(name for name in names if name.split(".")[0] in PACKAGES)


def _module_file(module: str, root: Path) -> Path | None:
    base = Path("src", *module.split("."))
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if (root / candidate).is_file():
            return candidate
    return None


@cache
def _data_files(folder: Path, root: Path) -> tuple[str, ...]:
    """Templates, style sheets and other data files in a package."""
    return tuple(
        (folder / path.name).as_posix()
        for path in (root / folder).iterdir()
        if path.is_file() and path.suffix not in (".py", ".pyc")
    )
