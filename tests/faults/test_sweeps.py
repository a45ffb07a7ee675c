"""A sweep killed by SIGKILL, under the launchers of this machine."""

from __future__ import annotations

import pytest

from stress.torture import sweeps
from stress.torture.states import EndState
from stress.torture.workshop import Workshop


@pytest.fixture(scope="module")
def whole(workshop: Workshop) -> list[EndState]:
    return sweeps.reference(workshop)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["cores", "submitit_local"])
def test_killed_under_a_launcher(launcher: str, workshop: Workshop, whole: list[EndState]) -> None:
    """Its jobs and the launcher's workers end, and the same command, given at once, comes to the same results."""
    outcome = sweeps.killed(workshop, launcher, 0.2, whole)
    assert (outcome.problems, outcome.equal) == ([], 2)
    assert outcome.ended_s < sweeps.TO_END
