#!/usr/bin/env bash
# Breaks real runs in every way we know of and writes what survived to outputs/reference/reliability.json.
#   scripts/stress/torture.sh [KILLS] [--only PART[,PART...]] [--seed SEED]     200 random kills: about an hour on one core
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh" dev
cd "$repository/scripts"
exec "$venv/bin/python" -m stress.torture "$@"
