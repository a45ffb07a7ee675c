#!/usr/bin/env bash
# The whole gate: lint, types, tests, and the wheel, built and tried outside the repository.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
cd "$repository"
"$venv/bin/ruff" check metalstm tests scripts examples
"$venv/bin/ruff" format --check metalstm tests scripts examples
"$venv/bin/mypy"
bash scripts/test.sh "$@"
bash scripts/try_wheel.sh
