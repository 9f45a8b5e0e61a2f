"""The drivable area node."""
