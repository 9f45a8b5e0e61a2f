"""The simulated street camera."""
