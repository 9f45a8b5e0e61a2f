"""`scripts/gpu_check`: parity and speed on a GPU in one command, and the tables of docs/gpu.md."""
