#!/usr/bin/env bash
# Omniglot as well as an LSTM can: an encoder, then what starts from it for each task shape; and the article's plain setting.
# What each has come to is in outputs/reference/omniglot/NAME, a run directory that metalstm-test, metalstm-adapt and init_from= take.
#   scripts/omniglot.sh [NAME...]     all, or those named and what they start from
# OMNIGLOT names the folder of the data, THREADS how many threads a run may use.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh" figures,export
source "$repository/scripts/side_by_side.sh"
cd "$repository"
runs=outputs/omniglot
reference=outputs/reference/omniglot
data=${OMNIGLOT:-../shared/data/omniglot}
threads=${THREADS:-1}
shapes=(5w1s 5w5s 20w1s 20w5s)
names=(
    encoder encoder_{seed1,seed2,lake,more}
    "${shapes[@]/%/_maml}" 5w1s_maml_{seed1,seed2,lake}
    "${shapes[@]/%/_memory}"
    {5w1s,20w5s}_scratch
    20w5s_article
)
(($#)) && chosen=("$@") || chosen=("${names[@]}")

# task SHAPE: ways and shots, as settings.
task() {
    [[ $1 =~ ^([0-9]+)w([0-9]+)s$ ]]
    echo "ways=${BASH_REMATCH[1]} shots=${BASH_REMATCH[2]}"
}

# whole RUN FOLDER: what a run found, in place of what FOLDER held.
whole() {
    rm -rf "$2"
    keep "$1" "$2"
    cp "$1"/{run.json,figures/adaptation_curve.png} "$2"
}

# made NAME TASK SETTING...: trains NAME, whose runs are called TASK, as far as that is not done, and keeps it so that it can be
# tested again and started from: with its best checkpoint.
made() {
    local name=$1 task=$2 run folder=$reference/$1
    shift 2
    train "$runs/$name" "$task" "$@" dataset.root="$data" threads="$threads" test_tasks=1000
    run=$(finished "$runs/$name" "$task")
    ! cmp -s "$run/result.json" "$folder/result.json" || return 0 # kept before
    whole "$run" "$folder"
    mkdir "$folder/checkpoints"
    cp -r "$(find "$run/checkpoints" -name 'best_*' | sort | tail -n 1)" "$folder/checkpoints"
}

# tested NAME SHAPE: tests NAME on tasks of another shape, and keeps the result in a folder of its own.
tested() {
    local folder=$reference/$1 shape=$2
    [[ ! -e $folder/$shape ]] || return 0
    "$venv/bin/metalstm-test" run="$folder" $(task "$shape") tasks=1000 \
        dataset_root="$data" threads="$threads"
    mkdir -p "$folder/$shape"
    cp "$(find "$folder/tests" -name result.json | sort | tail -n 1 | xargs dirname)"/{result,per_task}.json "$folder/$shape"
    rm -r "$folder/tests"
}

# compared NAME...: keeps a comparison, in pairs of the same tasks, in the last one's folder.
compared() {
    "$venv/bin/metalstm-report" "${@/#/$reference/}" --out "$reference/${*: -1}"
}

# exported NAME: keeps the start of a run of maml as weights for torch.nn.LSTM, as far as that is not done.
exported() {
    [[ ! -e $reference/$1/start.safetensors ]] || return 0
    "$venv/bin/metalstm-adapt" run="$reference/$1" export="$reference/$1/start.safetensors" overwrite=true dataset_root="$data"
}

# recipe NAME: trains it, and first what it starts from.
recipe() {
    local name=$1 shape learner encoder=encoder settings=()
    case $name in
    *_seed?) settings+=(seed="${name: -1}") encoder=encoder_seed${name: -1} ;;
    *_lake) settings+=(dataset.split=lake) encoder=encoder_lake ;;
    esac
    if [[ $name == encoder* ]]; then
        if [[ $name == encoder_more ]]; then
            [[ -d $reference/encoder ]] || recipe encoder
            settings=(experiment=omniglot_encoder_more init_from="$reference/encoder")
        else
            settings+=(experiment=omniglot_encoder)
        fi
        made "$name" omniglot_20w1s_protonet "${settings[@]}"
        for shape in 5w1s 5w5s 20w5s; do
            tested "$name" "$shape"
        done
        return
    fi
    IFS=_ read -r shape learner _ <<< "$name"
    settings=(experiment="omniglot_$learner" $(task "$shape") "${settings[@]}")
    if [[ $learner == article ]]; then
        made "$name" "omniglot_${shape}_maml" "${settings[@]}"
        compared "$name" # with its own baselines
        exported "$name"
        return
    fi
    if [[ $learner == scratch ]]; then
        [[ -d $reference/${shape}_maml ]] || recipe "${shape}_maml"
        train "$runs/$name" "omniglot_${shape}_scratch" "${settings[@]}" dataset.root="$data" threads="$threads"
        whole "$(finished "$runs/$name" "omniglot_${shape}_scratch")" "$reference/$name" # no checkpoint: nothing is trained
        compared "${shape}_maml" "$name"
        return
    fi
    [[ -d $reference/$encoder ]] || recipe "$encoder"
    made "$name" "omniglot_${shape}_$learner" "${settings[@]}" init_from="$reference/$encoder"
    [[ $learner != maml ]] || exported "$name" # the memory's start is more than one model's weights
}

for name in "${chosen[@]}"; do
    if [[ " ${names[*]} " != *" $name "* ]]; then
        echo "error: $name is none of ${names[*]}" >&2
        exit 2
    fi
    recipe "$name"
done
