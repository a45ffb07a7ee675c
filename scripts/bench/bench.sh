#!/usr/bin/env bash
# Times metalstm beside other systems; see the first lines of scripts/bench/__main__.py for the parts.
#   scripts/bench/bench.sh [--growth | --training | --processes | --memory]     everything: about half an hour on two cores
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh" benchmark
cd "$repository/scripts"
exec "$venv/bin/python" -m bench "$@"
