#!/usr/bin/env bash
# Odd files that are led by coverage to code that none has reached before: needs the extra `fuzz` (atheris).
#   scripts/stress/fuzz_guided.sh            every kind of file for a minute
#   scripts/stress/fuzz_guided.sh npy 600    one kind for ten minutes
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/../environment.sh" dev,fuzz
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
cd "$repository/scripts"
kinds="${1:-aiff bmp cifar csv ecg flac intents jpg mp3 npy ogg png ratings speech terrain txt wav}"
for kind in $kinds; do
  echo "== $kind"
  "$venv/bin/python" -m stress.fuzzing.guided "$kind" "${2:-60}"
done
