"""The formats of traces, in one table: those that come in and those that go out.

The rules, the scripts, the schemas and docs/traces.md read this table. A new format needs a module here, a
row in the table and a test. The modules import nothing heavy, because the workflow reads the table whenever
it starts.
"""

from vllm_lab.traces.formats import (
    bailian,
    custom,
    libcachesim,
    llmservingsim,
    messages,
    mooncake,
    sharegpt,
    vidur,
)

FORMATS = {
    "mooncake": mooncake.FORMAT,
    "bailian": bailian.FORMAT,
    "custom": custom.FORMAT,
    "sharegpt": sharegpt.FORMAT,
    "messages": messages.FORMAT,
    "vidur": vidur.FORMAT,
    "llmservingsim": llmservingsim.FORMAT,
    "libcachesim": libcachesim.FORMAT,
}
IMPORTS = {name: format.incoming for name, format in FORMATS.items() if format.incoming}
EXPORTS = {name: format.outgoing for name, format in FORMATS.items() if format.outgoing}
