# Sourced after environment.sh by the scripts that train several learners on one task and compare them.
# A run that is over is not run again; one that was stopped goes on.

# finished RUNS NAME: the newest run NAME (dataset, task and learner) under RUNS that is over, if there is one.
finished() {
    local result
    result=$(find "$1" -path "*/$2/*/result.json" -not -path "*/tests/*" | sort | tail -n 1)
    [[ -z $result ]] || dirname "$result"
}

# train RUNS NAME SETTING...: trains and tests NAME under RUNS, as far as that is not done.
train() {
    local runs=$1 name=$2 begun
    shift 2
    mkdir -p "$runs"
    [[ -z $(finished "$runs" "$name") ]] || return 0
    begun=$(find "$runs" -path "*/$name/*/config.yaml" | sort | tail -n 1)
    if [[ -n $begun ]]; then
        "$venv/bin/metalstm-train" resume="$(dirname "$begun")"
    else
        "$venv/bin/metalstm-train" "$@" output_dir="$runs"
    fi
}

# keep RUN FOLDER: copies what a run found into FOLDER.
keep() {
    local run=$1 folder=$2 file
    mkdir -p "$folder"
    cp "$run"/{result.json,per_task.json,config.yaml} "$folder"
    for file in gallery.json confusion.json; do # which runs of before they were written lack
        [[ ! -e $run/$file ]] || cp "$run/$file" "$folder"
    done
    # Enough for the training curves of several runs; the steps between would be most of the file.
    if [[ -e $run/metrics.jsonl ]]; then
        grep '"meta_validation/' "$run/metrics.jsonl" > "$folder/metrics.jsonl" || true
    fi
}

# compare RUNS PREFIX REFERENCE LEARNER...: copies what runs PREFIX_LEARNER found into REFERENCE, with table, figure and page.
compare() {
    local runs=$1 prefix=$2 reference=$3 learner run found=()
    shift 3
    for learner in "$@"; do
        run=$(finished "$runs" "${prefix}_$learner")
        [[ -n $run ]] || continue
        found+=("$reference/$learner")
        keep "$run" "$reference/$learner"
    done
    "$venv/bin/metalstm-report" "${found[@]}" --out "$reference"
}
