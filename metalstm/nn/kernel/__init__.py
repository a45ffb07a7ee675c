"""The LSTM's twice-differentiable kernel: its passes over time, in torch and in C."""
