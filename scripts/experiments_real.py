"""Make one real run of an experiment: vLLM with its model, in real time, with the trace's own answers.

In: a trace and a checkpoint.
Out: steps (JSON Lines), requests (CSV), a record (JSON) and decisions as lines for `diff`.
"""

from vllm_lab.common import console, errors, flags, host
from vllm_lab.engines.engine import Engine
from vllm_lab.engines.replay import replay
from vllm_lab.engines.settings import EngineSettings
from vllm_lab.replay.flags import add_run, files_of, limits_from, run_requests_from
from vllm_lab.replay.records import REAL, measured_record


def main(argv: list[str] | None = None) -> None:
    parser = flags.parser_of(__doc__, model_dir="the checkpoint's folder")
    flags.add_device(parser)
    parser.add_argument("--repeats", type=int, default=3, help="each from an empty cache; the median is kept")
    add_run(parser)
    args = parser.parse_args(argv)

    requests, limits, files = run_requests_from(args), limits_from(args), files_of(args)
    repeats = []
    try:
        with Engine(EngineSettings(args.model_dir, limits, args.device, threads=host.threads())) as engine:
            for _ in range(args.repeats):
                repeats.append(replay(engine, requests))
                console.log(repeats[-1].summary())  # a repeat takes half a minute on a small machine
    except errors.Unavailable as error:
        console.log(f"not run: {error}")
        files.write_not_run(REAL, limits, str(error))
        return
    median, record = measured_record(requests, limits, repeats, repeats[0].environment)
    files.write(median, record)


if __name__ == "__main__":
    console.run(main)
