"""The machine and the processes: device, memory, signals, progress, several processes for one run."""
