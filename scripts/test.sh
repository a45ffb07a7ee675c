#!/usr/bin/env bash
# Sets up .venv if need be, then runs the tests; arguments go to pytest, e.g. scripts/test.sh -k kernel.
# Tests on real data look for ../shared/data or $METALSTM_DATA, and are skipped by name where it is absent.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
cd "$repository"
exec "$venv/bin/python" -m pytest -m "not long" "$@"
