"""What `scripts/stress/torture.sh` is made of; the tests in `tests/faults/` use the same parts on a smaller scale."""
