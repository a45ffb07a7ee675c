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
names=(speech_commands_5w1s speech_commands_5w5s clinc150_5w1s clinc150_5w5s movietweetings pendulum ecg terrain cifar_fs
    lifelong_clinc150 lifelong_omniglot)
(($#)) && chosen=("$@") || chosen=("${names[@]}")

# use NAME TASK STEPS SETTING... -- [LEARNER SETTING... --]...: trains the learners by experiment=<dataset>_<learner>, and the model
# from scratch, on TASK (dataset and shape as a run's folder has them), each to take STEPS steps on a new task, and compares
# them; the model from scratch on the first 100 tasks.
use() {
    local name=$1 task=$2 steps=$3 dataset=${1%_5w?s} runs=outputs/scenarios/$1 common=("threads=$threads") learner own learners=()
    shift 3
    while [[ $1 != -- ]]; do common+=("$1"); shift; done
    shift
    while (($#)); do
        learner=$1 own=()
        shift
        while [[ $1 != -- ]]; do
            case $1 in
            init_from=*) own+=("init_from=$(finished "$runs" "${task}_${1#init_from=}")") ;; # of the learner named, trained before
            *) own+=("$1") ;;
            esac
            shift
        done
        shift
        learners+=("$learner")
        train "$runs" "${task}_$learner" experiment="${dataset}_$learner" "${common[@]}" "${own[@]}"
    done
    learners+=(scratch)
    train "$runs" "${task}_scratch" experiment="$dataset" "${common[@]}" learner=scratch learner.inner_steps="$steps" steps=1 \
        validation_tasks=20 test_tasks=100
    compare "$runs" "$task" "outputs/reference/scenarios/$name" "${learners[@]}"
}

# after STEPS NAME TASK LEARNER...: the runs of a use tested again, after fewer or more steps on a new task.
after() {
    local steps=$1 name=$2 task=$3 learner run found=()
    shift 3
    for learner in "$@"; do
        run=$(finished "outputs/scenarios/$name" "${task}_$learner")
        "$venv/bin/metalstm-test" run="$run" steps="$steps" tasks=1000 threads="$threads"
        found+=("$(find "$run/tests" -name result.json -printf '%h\n' | sort | tail -n 1)")
    done
    "$venv/bin/metalstm-report" "${found[@]}" --out "outputs/reference/scenarios/$name/after_$steps"
}

# lifelong DATASET TASK LEARNER: trains LEARNER, sends it through streams of tasks, and keeps what was found.
lifelong() {
    local name=lifelong_$1 task=$2 learner=$3 runs=outputs/scenarios/lifelong_$1 run found
    train "$runs" "${task}_$learner" experiment="$1_lifelong" dataset.root="$data/$1" threads="$threads"
    run=$(finished "$runs" "${task}_$learner")
    "$venv/bin/metalstm-test" run="$run" protocol=lifelong threads="$threads"
    mkdir -p "outputs/reference/scenarios/$name"
    found=$(find "$run/tests" -name lifelong.json -printf '%h\n' | sort | tail -n 1)
    cp "$found/lifelong.json" "$found/figures/lifelong.png" "outputs/reference/scenarios/$name"
}

speech_commands() { # SHOTS
    local tasks=$(($1 == 1 ? 4 : 2)) # a step: about as many recordings
    use "speech_commands_5w$1s" "speech_commands_5w$1s" 3 dataset.root="$data/speech_commands" shots="$1" -- \
        finetune meta_batch_size="$tasks" -- proto_maml init_from=finetune --
    after 1 "speech_commands_5w$1s" "speech_commands_5w$1s" proto_maml finetune
}

clinc150() { # SHOTS
    use "clinc150_5w$1s" "clinc150_5w$1s" 3 dataset.root="$data/clinc150" shots="$1" -- finetune -- proto_maml --
    after 1 "clinc150_5w$1s" "clinc150_5w$1s" proto_maml finetune
}

movietweetings() { use movietweetings movietweetings_2w5s 3 dataset.root="$data/movietweetings" -- finetune -- memory --; }
pendulum() { use pendulum pendulum_1w10s 3 -- finetune -- maml --; }
ecg() { use ecg ecg_2w5s 3 dataset.root="$data/ecg" -- finetune -- maml --; }
terrain() { use terrain terrain_1w5s 3 dataset.root="$data/terrain" -- finetune -- maml init_from=finetune --; }

# The form of CIFAR-100 alone: drawn figures in its files, since the images are not to be had without a network.
cifar_fs() {
    local root=outputs/scenarios/cifar_fs/data
    [[ -e $root/meta ]] || "$venv/bin/python" scripts/cifar_form.py "$root"
    use cifar_fs cifar_fs_5w1s 3 dataset.root="$root" dataset.download=false -- finetune -- maml --
}

lifelong_clinc150() { lifelong clinc150 clinc150_5w5s anil; }
lifelong_omniglot() { lifelong omniglot omniglot_5w5s maml; }

for name in "${chosen[@]}"; do
    if [[ " ${names[*]} " != *" $name "* ]]; then
        echo "error: $name is none of ${names[*]}" >&2
        exit 2
    fi
    case $name in
    *_5w?s) "${name%_5w?s}" "${name: -2:1}" ;;
    *) "$name" ;;
    esac
done
