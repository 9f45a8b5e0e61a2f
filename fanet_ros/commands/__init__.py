"""The larger commands of `fanet`, one file each; importing them imports no framework."""
