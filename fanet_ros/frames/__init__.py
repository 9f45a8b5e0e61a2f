"""Frames: what a camera image is before the network sees it."""
