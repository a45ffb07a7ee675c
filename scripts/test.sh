#!/usr/bin/env bash
# Sets up .venv if need be, then runs the tests in two processes; arguments go to pytest, e.g. scripts/test.sh -k kernel.
# With arguments they run in one process, unless -n says otherwise.
# Tests on real data look for ../shared/data or $METALSTM_DATA, and are skipped by name where it is absent.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
cd "$repository"
[ $# -gt 0 ] || set -- -n 2
exec "$venv/bin/python" -m pytest -m "not long" "$@"
