#!/usr/bin/env bash
# Snakemake runs this inside the new conda environment, from the project's root.
set -euo pipefail
python -m pip install --no-deps --require-hashes -r envs/core.lock
