"""The size and complexity of Python code, as radon counts them: test 4 of docs/plan.md."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from radon.complexity import cc_visit
from radon.raw import analyze
from radon.visitors import Class, Function

from vllm_lab.common.errors import LabError
from vllm_lab.common.metric import Metric
from vllm_lab.measure.document import Check, Test, document, results_of

TEST = Test(
    id="code_quality",
    name="Size and complexity of the code",
    question="How large and how complex is the code of each version of mini-vLLM?",
    method="radon.raw.analyze and radon.complexity.cc_visit on every Python file below each path",
    how_obtained="counted from the source text; functions and classes a second time in the syntax tree (ast)",
    metrics={
        "total_loc": Metric(
            "lines", "lines of all files, blank lines and comments included (radon's LOC)", "Lines"
        ),
        "source_loc": Metric("lines", "lines that hold code (radon's SLOC)", "With code"),
        "function_count": Metric("", "functions, methods and functions inside functions", "Functions"),
        "class_count": Metric("", "classes", "Classes"),
        "avg_complexity": Metric(
            "", "mean cyclomatic complexity of the functions (radon; 1: no branch)", "Complexity, mean"
        ),
        "max_complexity": Metric("", "cyclomatic complexity of the most complex function", "Most complex"),
        "lines_per_function": Metric("lines", "mean of a function's last line - first line + 1"),
    },
)


def count(paths: Sequence[Path]) -> dict[str, Any]:
    """The test's document: results `{path as a module}.{metric}`, and each file's counts as runs."""
    results: dict[str, Any] = {}
    checks: list[Check] = []
    texts: dict[Path, str] = {}
    for path in paths:
        own = {file: file.read_text(encoding="utf-8") for file in python_files(path)}
        values = counts(*own.values())
        found = results_of(TEST.metrics, values)
        results |= {f"{module(path)}.{name}": result for name, result in found.items()}
        checks += _checks(path, own.values(), values)
        texts |= own
    runs = [
        {"run": file.as_posix(), "values": counts(text), "raw": {}, "used": True}
        for file, text in sorted(texts.items())
    ]
    given = {"paths": [path.as_posix() for path in paths]}
    return document(TEST, None, given, "derived", runs=runs, results=results, checks=checks)


def counts(*sources: str) -> dict[str, float]:
    """Values of TEST's metrics for the text of one file, or of several together.

    Those over functions are left out where there is no function.
    """
    blocks = [block for source in sources for block in _all_blocks(cc_visit(source))]
    functions = [block for block in blocks if isinstance(block, Function)]
    raw = [analyze(source) for source in sources]
    found = {
        "total_loc": sum(each.loc for each in raw),
        "source_loc": sum(each.sloc for each in raw),
        "function_count": len(functions),
        "class_count": len(blocks) - len(functions),
    }
    if functions:
        complexities = [function.complexity for function in functions]
        found["avg_complexity"] = fmean(complexities)
        found["max_complexity"] = max(complexities)
        found["lines_per_function"] = fmean(function.endline - function.lineno + 1 for function in functions)
    return found


def _checks(path: Path, sources: Iterable[str], values: Mapping[str, float]) -> list[Check]:
    """The functions and classes of the files below `path`, counted a second time in their syntax trees."""
    nodes = [node for source in sources for node in ast.walk(ast.parse(source))]
    words = f"in {path.as_posix()}, by ast (radon does not look into a class inside a function)"
    functions = sum(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) for node in nodes)
    classes = sum(isinstance(node, ast.ClassDef) for node in nodes)
    return [
        Check("functions_by_syntax_tree", f"functions {words}", functions, values["function_count"]),
        Check("classes_by_syntax_tree", f"classes {words}", classes, values["class_count"]),
    ]


def python_files(path: Path) -> list[Path]:
    """The Python files below a folder, or the given file itself. LabError where there is no file."""
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise LabError(f"{path}: no Python file; correct plan.code_quality in the configuration")
    return files


def module(path: Path) -> str:
    """src/mini_vllm/v1_naive as mini_vllm.v1_naive."""
    parts = path.with_suffix("").parts
    return ".".join(parts[1:] if parts[0] == "src" else parts)


def _all_blocks(blocks: Sequence[Function | Class]) -> Iterator[Function | Class]:
    """Every function and class at any depth.

    radon lists a class's methods next to the class, and everything else inside it.
    """
    for block in blocks:
        yield block
        if isinstance(block, Class):
            yield from _all_blocks(block.inner_classes)
            for inner in block.inner_classes:
                yield from _all_blocks(inner.methods)
        else:
            yield from _all_blocks(block.closures)
