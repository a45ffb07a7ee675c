"""`metalstm-test`: meta-tests a run once more, on as many tasks and after as many steps as asked for.

To choose settings by, it judges on meta-validation instead: then no choice has seen a task of meta-test.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from metalstm.command import command_line, run_command

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def main() -> None:
    """The command."""
    run_command("test", meta_test_run)


def meta_test_run(config: DictConfig) -> None:
    """Reads a run directory, meta-tests its best checkpoint, prints the result and writes it under `tests/`."""
    import dataclasses
    from pathlib import Path

    import torch

    from metalstm import assembly, learner_assembly
    from metalstm.config import at_odds, meta_test_settings
    from metalstm.errors import ConfigError
    from metalstm.fields import plain
    from metalstm.reporting.summary import summary
    from metalstm.run import directory, results, resume
    from metalstm.run.checkpoint import LATEST, Checkpoints, fitting
    from metalstm.run.interruption import Interruption
    from metalstm.run.meta_test import Judge
    from metalstm.trained import best_checkpoint, open_dataset

    given = meta_test_settings(config)
    path = Path(given.run)
    trained = resume.run_settings(path)
    steps = trained.steps_tested if given.steps is None else given.steps
    settings = dataclasses.replace(
        trained,
        test_tasks=given.tasks,
        test_steps=steps,
        curve_steps=2 * steps if given.curve_steps is None else given.curve_steps,
        scratch_tasks=0,
        device=given.device,
        threads=given.threads,
    )
    problems = list(at_odds(settings))
    if problems:
        raise ConfigError(*problems)
    directory.start_log(None)
    assembly.use_machine(settings.device, settings.threads)
    dataset = open_dataset(path, settings, given.dataset_root, given.allow_changed_data)
    device = torch.device(settings.device)
    checkpoints = Checkpoints(path / "checkpoints", settings.keep_checkpoints)
    checkpoint = best_checkpoint(path, checkpoints, device, "tested")
    learner = learner_assembly.make_learner(settings, dataset)
    with fitting(checkpoint):
        learner.load_state_dict(checkpoint.state["learner"])
    log.info("run       %s, step %d", path, checkpoint.step)
    shape = learner_assembly.model_shape(settings, dataset)
    with Interruption() as interruption:

        def heed() -> None:
            interruption.heed("the meta-test was stopped", "start it again")

        validation, test = (
            assembly.make_sampler(settings, dataset, split) for split in ("meta_validation", given.split)
        )
        judge = Judge(validation, test, assembly.test_protocol(settings), dataset.kind, device, heed)
        tested = judge.judge(learner, shape, settings.seed)
    newest = checkpoints.newest(LATEST, device)
    trained_steps, seconds = (0, 0.0) if newest is None else (newest.step, newest.state["seconds"])
    result = results.result(
        plain(settings),
        command_line(),
        dataset,
        tested,
        checkpoint.step,
        results.training(trained_steps, seconds, settings.meta_batch_size),
    )
    file = directory.new_run_directory(path / "tests") / directory.RESULT
    directory.write_json(file.with_name(directory.PER_TASK), results.per_task(tested), indent=None)
    directory.write_json(file, result)
    log.info("%s", summary(result))
    log.info("result    %s", file)


if __name__ == "__main__":
    main()
