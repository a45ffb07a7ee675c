"""How well a learner does on unseen tasks: meta-test, baselines, streams, intervals, results."""
