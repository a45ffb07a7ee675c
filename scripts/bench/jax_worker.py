"""A process of jax's own, which computes on request: one line of JSON in, one out; arrays go by a file.

Started as `python -m bench.jax_worker CASE THREADS`. It answers {"compile_s"} once it is ready, then each `step` with
{"seconds"}, and each `gradients` with {}, having written them to the file named in the request.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np

from bench.problem import Case, make_problem


def main() -> None:
    case, threads = Case.from_json(sys.argv[1]), int(sys.argv[2])
    limit_to(threads)
    from bench.with_jax import JaxSystem

    system = JaxSystem(make_problem(case))
    predict(system.facts)
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "step":
            predict({"seconds": system.timed_step()})
        else:
            np.savez(request["file"], **system.gradients())
            predict({})


def limit_to(threads: int) -> None:
    """Before jax is imported: it makes as many threads as there are processors that this process may use."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def predict(values: dict[str, float]) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main()
