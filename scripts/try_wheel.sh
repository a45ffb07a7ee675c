#!/usr/bin/env bash
# Builds the wheel, installs it into a venv of its own outside the repository, and runs the commands there.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" dev
elsewhere="$(mktemp -d)"
trap 'rm -rf "$elsewhere"' EXIT
# A copy, so that the build leaves nothing behind in the repository.
git -C "$repository" ls-files -z | (cd "$repository" && tar --null -T - -cf -) | (mkdir "$elsewhere/source" && tar -xf - -C "$elsewhere/source")
for package in "$elsewhere/source" "$elsewhere/source/examples/plugin"; do
    "$venv/bin/python" -m build --wheel --outdir "$elsewhere" "$package" > "$elsewhere/build.log" || { cat "$elsewhere/build.log"; exit 1; }
done
"$venv/bin/python" -m venv "$elsewhere/venv"
# The libraries are those of the repository's own .venv; metalstm itself is the wheel's.
"$elsewhere/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$elsewhere"/metalstm-*.whl
site="$("$elsewhere/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
"$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > "$site/libraries.pth"
cd "$elsewhere"
"$elsewhere/venv/bin/python" -c "import metalstm, sys; assert metalstm.__file__.startswith('$site'), metalstm.__file__"
small="validation_tasks=4 test_tasks=4 scratch_tasks=0 meta_batch_size=2 model.hidden_size=8"
"$elsewhere/venv/bin/metalstm-train" --help > help.txt
"$elsewhere/venv/bin/metalstm-train" -m ways=5,10 steps=3 $small
runs="$(find outputs -name result.json | wc -l)"
[ "$runs" = 2 ] || { echo "error: two runs were to be made, not $runs" >&2; exit 1; }
"$elsewhere/venv/bin/metalstm-test" run="$(dirname "$(find outputs -name result.json | head -n 1)")" tasks=4
# A package of somebody else's: its learner, model and dataset go through every command.
"$elsewhere/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "$elsewhere"/metalstm_example-*.whl
OMP_NUM_THREADS=1 "$elsewhere/venv/bin/python" -m pytest -q -p no:cacheprovider --rootdir "$elsewhere" \
    "$elsewhere/source/examples/plugin/test_example.py"
echo "the wheel works: $(basename metalstm-*.whl)"
