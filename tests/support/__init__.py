"""Helpers of the tests: imported where they are used; what needs setting up and taking down is a fixture."""
