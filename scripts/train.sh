#!/usr/bin/env bash
# Sets up .venv if need be, then runs metalstm-train with the arguments given:
#   scripts/train.sh
#   scripts/train.sh dataset=omniglot ways=20 shots=5
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" figures
exec "$venv/bin/metalstm-train" "$@"
