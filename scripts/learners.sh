#!/usr/bin/env bash
# All learners on the same tasks of Omniglot, 5-way, compared: a table and a figure in outputs/reference/learners/<setting>.
#   scripts/learners.sh 5w1s [LEARNER...]     one shot; 5w5s: five. All learners, or those named.
# A run that is over is not run again; one that was stopped goes on. OMNIGLOT names the folder of the data, THREADS how
# many threads a run may use.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" figures
cd "$repository"
setting=${1:?5w1s or 5w5s}
shift
shots=${setting#5w}
shots=${shots%s}
root=${OMNIGLOT:-../shared/data/omniglot}
threads=${THREADS:-1}
batch=16
((shots == 1)) || batch=8 # with five shots a task takes longer, and teaches more
runs=outputs/learners/$setting
mkdir -p "$runs"

# Of each learner what is not its default: how long it is trained, and what meta-validation liked better.
declare -A recipe=(
    [maml]="steps=1500 scratch_tasks=100"
    [fomaml]="steps=1500"
    [meta_sgd]="steps=1500"
    [mamlpp]="steps=1000"
    [anil]="steps=1500"
    [proto_maml]="steps=1000"
    [reptile]="steps=1500 test_steps=20"
    [memory]="steps=4000"
    [op_lstm]="steps=2000"
    [lstm_optimizer]="steps=$((shots == 1 ? 4500 : 2500)) meta_batch_size=4 learner.inner_steps=3 learner.hidden_size=8"
    [protonet]="steps=2500"
    [finetune]="steps=2500"
    [scratch]="steps=1"
)
order=(maml fomaml meta_sgd mamlpp anil proto_maml reptile memory op_lstm lstm_optimizer protonet finetune scratch)
(($#)) && learners=("$@") || learners=("${order[@]}")

finished() { # the newest run of a learner that is over
    find "$runs" -path "*/omniglot_${setting}_$1/*/result.json" -not -path "*/tests/*" | sort | tail -n 1
}

for learner in "${learners[@]}"; do
    [[ -n $(finished "$learner") ]] && continue
    begun=$(find "$runs" -path "*/omniglot_${setting}_$learner/*/config.yaml" | sort | tail -n 1)
    if [[ -n $begun ]]; then
        "$venv/bin/metalstm-train" resume="$(dirname "$begun")"
    else
        # shellcheck disable=SC2086
        "$venv/bin/metalstm-train" dataset=omniglot dataset.root="$root" ways=5 shots="$shots" meta_batch_size="$batch" \
            validate_every=500 keep_checkpoints=1 test_tasks=600 scratch_tasks=0 output_dir="$runs" threads="$threads" \
            learner="$learner" ${recipe[$learner]}
    fi
done

results=()
for learner in "${order[@]}"; do
    result=$(finished "$learner")
    [[ -n $result ]] && results+=("$(dirname "$result")")
done
"$venv/bin/metalstm-report" "${results[@]}" --out "outputs/reference/learners/omniglot_$setting"
