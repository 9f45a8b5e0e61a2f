"""The network, its weights and what its classes mean."""
