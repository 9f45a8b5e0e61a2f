"""Training FANet: recipes, batches, losses, the loop, and checkpoints from which it goes on exactly."""
