"""The formats of traces: those that come in and those that go out.

The rules, the scripts, the schemas and docs/traces.md read these two tables. A new format needs a module here
with INCOMING or OUTGOING, a row in a table and a test. The modules import nothing heavy, because the workflow
reads the tables whenever it starts.
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

IMPORTS = {"mooncake": mooncake.INCOMING, "bailian": bailian.INCOMING}
EXPORTS = {
    "mooncake": mooncake.OUTGOING,
    "custom": custom.OUTGOING,
    "sharegpt": sharegpt.OUTGOING,
    "messages": messages.OUTGOING,
    "vidur": vidur.OUTGOING,
    "llmservingsim": llmservingsim.OUTGOING,
    "libcachesim": libcachesim.OUTGOING,
}
