#!/usr/bin/env bash
# Searches inner and outer rates for 5-shot sine regression in 20 trials, killed once on its way, and trains with the best
# rates and with the experiment's own, three seeds each: tables and results in outputs/reference/search.
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
search timeout --signal=KILL "${KILL_AFTER:-90}" || echo "killed; the same command goes on"
search

best() { "$venv/bin/python" -c "import sys, yaml; print(yaml.safe_load(open(sys.argv[1]))['settings'][sys.argv[2]])" "$searched/best.yaml" "$1"; }
rates=(outer_lr="$(best outer_lr)" learner.inner_lr="$(best learner.inner_lr)")
mkdir -p "$reference"
cp "$searched/trials.md" "$searched/best.yaml" "$reference/"
name=sinusoid_1w5s_maml
for seed in 0 1 2; do
    for which in default best; do
        [[ $which == best ]] && changed=("${rates[@]}") || changed=()
        train "outputs/search/$which$seed" "$name" "${settings[@]}" "${changed[@]}" seed="$seed" test_tasks=1000 scratch_tasks=0
        cp "$(finished "outputs/search/$which$seed" "$name")/result.json" "$reference/${which}_seed$seed.json"
    done
    runs=("$(finished "outputs/search/best$seed" "$name")" "$(finished "outputs/search/default$seed" "$name")")
    "$venv/bin/metalstm-report" "${runs[@]}" --out "outputs/search/compared$seed"
    cp "outputs/search/compared$seed/comparison.md" "$reference/compared_seed$seed.md"
done
