"""Details of the page that its readers would stumble over."""

import shlex

import pytest

from vllm_lab.report.blocks import Code, Number, text
from vllm_lab.report.render import exact, glued, moment, shell

N = Number("n", 0.5, "fraction", "derived", "results/a.json", "k", "l")


@pytest.mark.parametrize(
    ("template", "pieces"),
    [
        ("of {n}, and", [("", "of ", ""), ("", N, ","), ("", " and", "")]),
        ("a ({n}). b", [("", "a ", ""), ("(", N, ")."), ("", " b", "")]),
        ("({n})", [("", "", ""), ("(", N, ")"), ("", "", "")]),
        ("{n}{n}.", [("", N, ""), ("", N, "."), ("", "", "")]),
        ("({c}) x", [("", "(", ""), ("", Code("c"), ""), ("", ") x", "")]),
    ],
)
def test_brackets_and_punctuation_stay_with_their_number(template, pieces):
    assert list(glued(text(template, n=N, c=Code("c")))) == pieces


def test_the_exact_value_is_given_in_full_with_its_unit():
    assert exact(Number("n", 0.1 + 0.2, "s", "measured", "f", "k", "l")) == "0.30000000000000004 s"
    assert exact(Number("n", None, "s", "measured", "f", "k", "l")) == "no value s"


def test_times_are_written_for_people():
    assert moment("2026-01-02T03:04:05+00:00") == "2026-01-02 03:04:05 UTC"


def test_a_command_can_be_pasted_into_a_shell():
    command = ["python", "scripts/a.py", "--title", "it's a <b>", "--output", "x.json"]
    assert shlex.split(shell(command).replace("\\\n", "")) == command
    assert shell(command).count("\n") == 2
