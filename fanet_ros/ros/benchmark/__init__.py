"""The benchmark's camera and mask subscriber."""
