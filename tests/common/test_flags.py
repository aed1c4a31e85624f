"""The arguments of scripts."""

from pathlib import Path

import pytest

from vllm_lab.common import flags


def parse(*words: str):
    return flags.parse(
        words, "Does it.", flags.add_model, several={"traces": "the traces"}, output="JSON to write"
    )


def test_paths_lists_of_paths_and_added_flags_are_parsed():
    args = parse(
        *("--traces", "a", "b", "--output", "c.json"),
        *("--model-dir", "model", "--device", "cpu"),
    )
    assert (args.traces, args.output) == ([Path("a"), Path("b")], Path("c.json"))
    assert (args.model_dir, args.device) == (Path("model"), "cpu")


@pytest.mark.parametrize("missing", ["--traces", "--output", "--model-dir", "--device"])
def test_each_of_them_is_required(missing, capsys):
    given = {"--traces": "a", "--output": "c", "--model-dir": "model", "--device": "cpu"}
    words = [word for flag, value in given.items() if flag != missing for word in (flag, value)]
    with pytest.raises(SystemExit):
        parse(*words)
    assert f"required: {missing}" in capsys.readouterr().err
