"""What attention keeps of a camera's earlier frames."""
