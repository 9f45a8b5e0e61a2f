"""What the launch files do with their arguments."""
