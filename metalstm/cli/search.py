"""`metalstm-search`: searches settings on meta-validation."""

from __future__ import annotations

import argparse

from metalstm.cli.boundary import ending_with_errors, lazily, version_option

USAGE = "metalstm-search SETTING... [trials=20] [search=DIR]"
HELP = """\
Settings are those of metalstm-train, name=value. One that has several values is searched:

  'outer_lr=interval(1e-4,1e-1)'            any number in between
  'outer_lr=tag(log,interval(1e-4,1e-1))'   on a logarithmic scale, as rates want it
  'learner.inner_steps=int(interval(1,5))'  a whole number, 1 and 5 included
  'learner.inner_steps=range(1,5)'          the same, 5 not included; range(1,9,2): 1, 3, 5, 7
  model.pooling=last,mean                   one of these; 'model.pooling=choice(last,mean)' is the same

EXAMPLES
  metalstm-search dataset=sinusoid ways=1 shots=5 steps=500 validate_every=100 \\
      'outer_lr=tag(log,interval(1e-4,1e-1))' 'learner.inner_lr=tag(log,interval(1e-3,1))'
  metalstm-search learner=maml,anil 'model.hidden_size=range(32,129,32)' trials=50 search=outputs/searches/mine

The same command given again goes on until there are so many trials: a trial that was stopped goes on in its run
directory, and what is over is not run again. More trials may be asked for at any time.

A trial is a run in a process of its own, DIR/trial_<number>, and is judged by its best meta-validation; meta-test
stays unseen. The first one has the settings that the command would have without spaces, where these are in them; the
others are Optuna's (TPE). One that does worse at a meta-validation than the median of the complete ones did is pruned
(from the fifth complete one on), and one that diverges has failed; neither stops the search. With validate_every
several times smaller than steps there is more to prune.

DIR is OUTPUT_DIR/searches/<dataset>_<ways>w<shots>s_<learner>_<digest of the settings> unless named. It holds
trials.md (all trials), best.yaml (the best one, and the command that trains with its settings), search.log and
search.db (Optuna's; optuna-dashboard can show it).
"""


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="metalstm-search",
        usage=USAGE,
        description=__doc__,
        epilog=HELP,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    version_option(parser)
    parser.add_argument("settings", nargs="+", metavar="SETTING", help="name=value, or a space to search; see below")
    with ending_with_errors():
        given = parser.parse_args().settings
        with lazily("metalstm.config.hydra_errors:in_our_words")("train"):
            lazily("metalstm.sweeps.search.search:search")(given)
