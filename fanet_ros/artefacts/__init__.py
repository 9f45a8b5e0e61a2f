"""What is built once and kept: compiled networks, engines, and what each precision was measured to cost."""
