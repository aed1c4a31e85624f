"""Packages import only from packages below them, and no two files import each other in a circle."""

import ast
from pathlib import Path

from vllm_lab.__main__ import PACKAGES

ROOT = Path(__file__).parents[2]
LAB = ROOT / "src/vllm_lab"
ORDER = list(PACKAGES)
MODULES = {
    ".".join(file.relative_to(ROOT / "src").with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "src").rglob("*.py")
}


def imports(file: Path) -> set[str]:
    """Dotted names of the modules that a file imports, in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {
                inner if (inner := f"{node.module}.{alias.name}") in MODULES else node.module
                for alias in node.names
            }
    return names


def package_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "vllm_lab" and len(parts) > 1 and parts[1] in PACKAGES else None


def test_every_folder_is_in_the_order():
    folders = {path.name for path in LAB.iterdir() if (path / "__init__.py").exists()}
    assert folders == set(PACKAGES)


def test_packages_import_only_what_is_below_them():
    upward = {
        f"{file.relative_to(LAB)} imports {module}"
        for name in ORDER
        for file in (LAB / name).rglob("*.py")
        for module in imports(file)
        if (other := package_of(module)) is not None and ORDER.index(other) > ORDER.index(name)
    }
    assert upward == set()


def test_mini_vllm_imports_nothing_of_the_laboratory():
    files = (ROOT / "src/mini_vllm").rglob("*.py")
    assert [str(file) for file in files if any(name.startswith("vllm_lab") for name in imports(file))] == []


def test_files_do_not_import_each_other_in_a_circle():
    arrows = {name: imports(file) & MODULES.keys() - {name} for name, file in MODULES.items()}
    while leaves := {name for name, targets in arrows.items() if not targets & arrows.keys()}:
        arrows = {name: targets for name, targets in arrows.items() if name not in leaves}
    assert set(arrows) == set(), "these files form a circle, or lead into one"


def test_only_the_oracle_and_the_engines_import_vllm():
    files = [file for file in LAB.rglob("*.py") if any(n.split(".")[0] == "vllm" for n in imports(file))]
    assert {file.relative_to(LAB).parts[0] for file in files} <= {"oracle", "engines"}


def test_no_file_is_longer_than_300_lines():
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]
    assert [file.name for file in files if len(file.read_text().splitlines()) > 300] == []
