#!/usr/bin/env bash
# All learners on the same tasks of Omniglot, 5-way, compared: a table and a figure in outputs/reference/learners/<setting>.
#   scripts/learners.sh 5w1s [LEARNER...]     one shot; 5w5s: five. All learners, or those named.
# OMNIGLOT names the folder of the data, THREADS how many threads a run may use.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" figures
source "$repository/scripts/side_by_side.sh"
cd "$repository"
setting=${1:?5w1s or 5w5s}
shift
shots=${setting#5w}
shots=${shots%s}
root=${OMNIGLOT:-../shared/data/omniglot}
threads=${THREADS:-1}
batch=16
runs=outputs/learners/$setting

# Of each learner how long it is trained, and what meta-validation liked better than its defaults.
declare -A steps=(
    [maml]=1500 [fomaml]=1500 [meta_sgd]=1500 [mamlpp]=1000 [anil]=1500 [proto_maml]=1000 [reptile]=1500
    [memory]=4000 [op_lstm]=2000 [lstm_optimizer]=4500 [protonet]=2500 [finetune]=2500 [scratch]=1
)
if ((shots == 5)); then # a task takes longer, and teaches more; but for the two that went on getting better
    batch=8
    for learner in "${!steps[@]}"; do steps[$learner]=$(((steps[$learner] + 1) / 2)); done
    steps[lstm_optimizer]=5000 steps[finetune]=2500
fi
declare -A recipe=(
    [maml]="scratch_tasks=100"
    [reptile]="test_steps=20"
    [lstm_optimizer]="meta_batch_size=4 learner.inner_steps=3 learner.hidden_size=8"
)
order=(maml fomaml meta_sgd mamlpp anil proto_maml reptile memory op_lstm lstm_optimizer protonet finetune scratch)
(($#)) && learners=("$@") || learners=("${order[@]}")

for learner in "${learners[@]}"; do
    # shellcheck disable=SC2086
    train "$runs" "omniglot_${setting}_$learner" experiment=omniglot_learners dataset.root="$root" shots="$shots" \
        meta_batch_size="$batch" threads="$threads" learner="$learner" steps="${steps[$learner]}" ${recipe[$learner]:-}
done
compare "$runs" "omniglot_$setting" "outputs/reference/learners/omniglot_$setting" "${order[@]}"
