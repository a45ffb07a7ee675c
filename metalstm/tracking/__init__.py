"""Programs that show a run while it trains and beside others: TensorBoard, MLflow, Weights & Biases."""
