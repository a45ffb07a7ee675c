#!/usr/bin/env bash
# Searches inner and outer rates for 5-shot sine regression in 20 trials, killed once on its way; then meta-tests the runs
# of the best trial and of the first one, which has the experiment's own rates, and trains with both once more, with
# another seed. Tables and results are in outputs/reference/search.
# KILL_AFTER says after how many seconds the search is killed, THREADS how many threads a run may use.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" search
source "$repository/scripts/side_by_side.sh"
cd "$repository"
searched=outputs/searches/sinusoid
reference=outputs/reference/search
settings=(
    experiment=sinusoid_5shot meta_batch_size=4 steps=1000 validate_every=200 validation_tasks=200 threads="${THREADS:-1}"
)
search() {
    "$@" "$venv/bin/metalstm-search" "${settings[@]}" 'outer_lr=tag(log,interval(1e-4,1e-1))' \
        'learner.inner_lr=tag(log,interval(1e-3,1))' trials=20 search="$searched"
}
if [[ ! -d $searched ]]; then
    search timeout --signal=KILL "${KILL_AFTER:-90}" || echo "killed; the same command goes on"
fi
search

# of_best NAME: a line of best.yaml.
of_best() { sed -n "s/^ *$1: //p" "$searched/best.yaml"; }
mkdir -p "$reference"
cp "$searched/trials.md" "$searched/best.yaml" "$reference/"
declare -A run=([default]=$searched/trial_000 [best]=$(of_best run)) rates=(
    [default]="" [best]="outer_lr=$(of_best outer_lr) learner.inner_lr=$(of_best learner.inner_lr)"
)
name=sinusoid_1w5s_maml
for which in default best; do
    [[ -f ${run[$which]}/result.json ]] || "$venv/bin/metalstm-train" resume="${run[$which]}" test_tasks=1000 scratch_tasks=0
    cp "${run[$which]}/result.json" "$reference/${which}_seed0.json"
done
"$venv/bin/metalstm-report" "${run[best]}" "${run[default]}" --format=markdown | tee "$reference/compared_seed0.md"
for which in default best; do
    # shellcheck disable=SC2086
    train "outputs/search/$which" "$name" "${settings[@]}" ${rates[$which]} seed=1 test_tasks=1000 scratch_tasks=0
    run[$which]=$(finished "outputs/search/$which" "$name")
    cp "${run[$which]}/result.json" "$reference/${which}_seed1.json"
done
"$venv/bin/metalstm-report" "${run[best]}" "${run[default]}" --format=markdown | tee "$reference/compared_seed1.md"
