"""Task-batched layers, the LSTM and its twice-differentiable kernel, the models."""
