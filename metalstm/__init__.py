"""Meta-learning with LSTMs: meta-train, adapt to unseen tasks, and measure how fast they are learned."""

__version__ = "0.1.0"
