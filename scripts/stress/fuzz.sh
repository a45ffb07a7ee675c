#!/usr/bin/env bash
# Odd input of every kind, in hundreds or thousands, each input once; counts what goes wrong into outputs/reference/reliability.json.
#   scripts/stress/fuzz.sh 2000              2,000 inputs of seed 0, a quarter to half an hour on one core
#   scripts/stress/fuzz.sh 5000 --seed 7     others
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh" dev
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
cd "$repository/scripts"
exec "$venv/bin/python" -m stress.fuzzing.campaign "$@"
