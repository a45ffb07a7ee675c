#!/usr/bin/env bash
# The uses that README lists, each with real data: a meta-learner beside fine-tuning and the model from scratch, on the same
# tasks of classes, people or places never seen, after the same number of steps. A table and a figure for each in
# outputs/reference/scenarios/<name>; at most 30 minutes of training for a learner on two cores.
#   scripts/scenarios.sh [NAME...]     all, or those named
# DATA names the folder of the data, THREADS how many threads a run may use.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" figures,ecg
source "$repository/scripts/side_by_side.sh"
cd "$repository"
data=${DATA:-../shared/data}
threads=${THREADS:-1}
names=(speech_commands_5w1s speech_commands_5w5s clinc150_5w1s clinc150_5w5s movietweetings pendulum ecg terrain cifar_fs)
(($#)) && chosen=("$@") || chosen=("${names[@]}")

# use NAME TASK STEPS SETTING... -- [LEARNER SETTING... --]...: trains the learners, fine-tuning and the model from scratch on
# TASK (dataset and shape as a run's folder has them), each to take STEPS steps on a new task, and compares them.
use() {
    local name=$1 task=$2 steps=$3 runs=outputs/scenarios/$1 common=() learner own learners=()
    shift 3
    while [[ $1 != -- ]]; do common+=("$1"); shift; done
    common+=("threads=$threads" scratch_tasks=0 keep_checkpoints=1)
    shift
    while (($#)); do
        learner=$1 own=()
        shift
        while [[ $1 != -- ]]; do own+=("${1/#start=finetune/start=$(finished "$runs" "${task}_finetune")}"); shift; done
        shift
        learners+=("$learner")
        train "$runs" "${task}_$learner" "${common[@]}" learner="$learner" "${own[@]}"
    done
    learners+=(scratch)
    train "$runs" "${task}_scratch" "${common[@]}" learner=scratch learner.inner_steps="$steps" steps=1
    compare "$runs" "$task" "outputs/reference/scenarios/$name" "${learners[@]}"
}

speech_commands() { # SHOTS
    local common=(dataset=speech_commands dataset.root="$data/speech_commands" ways=5 shots="$1" test_tasks=1000
        model.directions=2 model.pooling=mean model.hidden_size=128 model.dropout=0.4 validate_every=250 validation_tasks=200)
    use "speech_commands_5w$1s" "speech_commands_5w$1s" 3 "${common[@]}" -- \
        finetune learner.inner_steps=3 steps=1500 -- \
        proto_maml start=finetune learner.adapts=head learner.inner_lr=0.03 learner.metric_scale=5 \
        train_ways=30 meta_batch_size=1 outer_lr=1e-3 steps=1500 --
}

for name in "${chosen[@]}"; do
    case $name in
    speech_commands_5w1s) speech_commands 1 ;;
    speech_commands_5w5s) speech_commands 5 ;;
    *) echo "error: $name is none of ${names[*]}" >&2; exit 2 ;;
    esac
done
