"""The parameters of the nodes, each declared once."""
