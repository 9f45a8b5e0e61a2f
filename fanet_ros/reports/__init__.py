"""Pictures, tables and files for people."""
