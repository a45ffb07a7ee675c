"""How the result came about: the protocol, what it cost, and the command that does it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from metalstm.config.text import as_override, duration, flat, shell, shown
from metalstm.reporting.charts import swatch
from metalstm.reporting.comparison import counted, plural, task_in_words
from metalstm.reporting.entries import Run, is_number, settings_of
from metalstm.reporting.markup import Markup, Section, definitions, folded, joined, table, tag
from metalstm.reporting.optional import found

NOT_GIVEN = ("resume", "output_dir", "allow_changed_data")  # settings that are not part of what a run is
FOLDED = 4  # commands that are shown without being asked for


def same_in_all(runs: Sequence[Run], *names: str) -> Any:
    """Return what all results have under names; None where they differ or have nothing."""
    values = [found(run.result, *names) for run in runs]
    return values[0] if all(value == values[0] for value in values) else None


def protocol(common: Mapping[str, Any], runs: Sequence[Run]) -> Section:
    """Return what was measured and how, as far as it is the same for all runs."""
    tasks = {len(run.learner.final()) for run in runs}
    pairs: list[tuple[str, Any]] = [
        ("Data", data(common, runs)),
        (
            "Task",
            f"{task_in_words(common)}, {counted(common['queries'], 'query')} "
            f"{'a class' if common['metric'] == 'accuracy' else 'points'}",
        ),
        (
            "Tested on",
            f"{' or '.join(f'{count:,}' for count in sorted(tasks))} {dashed(common['split'])} tasks, the same for all",
        ),
        ("Interval", interval_in_words(runs)),
        ("Checkpoint picked by", dashed(same_in_all(runs, "protocol", "picked_by"))),
        ("Normalisation", same_in_all(runs, "protocol", "normalisation")),
        ("Model", model_in_words(runs)),
        ("Seed", common["seed"]),
        ("Machine", machine(runs)),
        ("Versions", versions(runs)),
        ("Fingerprint of the data", tag("code", str(common["fingerprint"])[:16])),
    ]
    return Section("protocol", "Protocol", definitions([(name, value) for name, value in pairs if value is not None]))


def interval_in_words(runs: Sequence[Run]) -> str:
    """Return what intervals are over, and so which claims they hold for."""
    over = {run.learner.over for run in runs}
    units = " or ".join(plural(one) for one in sorted(over))
    said = f"95%, Student's t over {units}; one training run each"
    if any(run.learner.over_classes is not None for run in runs):
        said += ". Over tasks: other tasks of these classes; over classes: tasks of other classes, which vary more"
    return said


def data(common: Mapping[str, Any], runs: Sequence[Run]) -> str:
    told, name = same_in_all(runs, "protocol", "data"), common["dataset"]
    return str(name) if told is None else str(told) if str(told).startswith(str(name)) else f"{name}: {told}"


def dashed(name: Any) -> Any:
    """Return a split's name as it is written in a sentence."""
    return name.replace("_", "-") if isinstance(name, str) else name


def model_in_words(runs: Sequence[Run]) -> str | None:
    model = same_in_all(runs, "settings", "model")
    if not isinstance(model, Mapping):
        return None
    told = [
        f"{name.replace('_', ' ')} {shown(value)}"
        for name, value in model.items()
        if name != "name" and value is not None
    ]
    return f"{model.get('name')}: {', '.join(told)}"


def machine(runs: Sequence[Run]) -> str | None:
    device, threads = same_in_all(runs, "settings", "device"), same_in_all(runs, "environment", "threads")
    platform = same_in_all(runs, "environment", "platform")
    processes = same_in_all(runs, "environment", "processes")
    together = f"{processes} processes" if processes not in (None, 1) else None
    parts = [device, together, None if threads is None else counted(threads, "thread"), platform]
    return ", ".join(str(part) for part in parts if part is not None) or None


def versions(runs: Sequence[Run]) -> str | None:
    names = ("metalstm", "torch", "python")
    told = [f"{name} {version}" for name in names if (version := same_in_all(runs, "environment", name)) is not None]
    return ", ".join(told) or None


def cost(runs: Sequence[Run], styles: Mapping[str, int | None]) -> Section:
    """Time and memory."""

    def cell(run: Run, form: str, *names: str, scale: float = 1.0) -> str:
        value = found(run.result, *names)
        return form.format(scale * value) if is_number(value) else "-"

    rows = [
        [
            joined([swatch(styles[run.learner.name]), " ", run.learner.name]),
            "-" if run.learner.training_s is None else duration(run.learner.training_s, digits=1),
            cell(run, "{:,.0f}", "training", "steps"),
            cell(run, "{:,.1f}", "training", "tasks_per_second"),
            cell(run, "{:,.2f} ms", "seconds_per_step", scale=1000),
            cell(run, "{:,.0f} MiB", "training", "peak_memory_mib"),
            cell(run, "{:,.0f}", "environment", "threads"),
        ]
        for run in runs
    ]
    header = ["", "meta-training", "steps", "tasks a second", "a step of adapting", "peak memory", "threads"]
    known = [column for column in range(len(header)) if column == 0 or any(row[column] != "-" for row in rows)]
    said = "Meta-training without validation and checkpoints; a step of adapting to one task, the fastest of three"
    if header.index("peak memory") in known:
        said += "; the most memory that the process held, libraries included"
    header, rows = [header[column] for column in known], [[row[column] for column in known] for row in rows]
    return Section("cost", "Time and memory", joined([table(header, rows), tag("p", f"{said}.", class_="note")]))


def reproduce(runs: Sequence[Run]) -> Section:
    """Return the commands, as they were given and with all settings."""
    blocks = [reproduced(run) for run in runs]
    if len(blocks) > FOLDED:
        blocks = [folded(f"The commands of all {len(runs)} runs", *blocks)]
    return Section("reproduce", "To do it again", joined(blocks))


def reproduced(run: Run) -> Markup:
    parts: list[object] = [tag("h3", run.learner.name)]
    given = as_given(run)
    whole = with_all_settings(run)
    if given is not None:
        parts.append(tag("pre", tag("code", given)))
    if whole is not None:
        block = tag("pre", tag("code", whole))
        parts.append(block if given is None else folded("with all settings, whatever the defaults are", block))
    if len(parts) == 1:
        parts.append(tag("p", "Its result does not hold the command."))
    parts.append(tag("p", "From ", tag("code", run.folder), class_="note"))
    return joined(parts)


def as_given(run: Run) -> str | None:
    """Return the command that began the run; None: it is not known, or does more or less than the run."""
    command = found(run.result, "command")
    if not isinstance(command, list) or not command or command[0] != "metalstm-train":
        return None
    words = [str(word) for word in command]
    if any(word in ("-m", "--multirun") or word.startswith("resume=") for word in words):
        return None
    return shell(*words)


def with_all_settings(run: Run) -> str | None:
    """Return a command with every setting of the run; None: its result does not have them."""
    settings = settings_of(run)
    if not settings:
        return None
    count = found(run.result, "environment", "processes")
    together = isinstance(count, int) and count > 1
    words = ["torchrun", f"--nproc-per-node={count}", "-m", "metalstm.train"] if together else ["metalstm-train"]
    words += [f"{group}={value['name']}" for group, value in settings.items() if found(value, "name") is not None]
    words += [
        f"{name}={as_override(value)}"
        for name, value in flat(settings).items()
        if not name.endswith(".name") and name not in NOT_GIVEN
    ]
    return shell(*words)
