"""Which frames run together, at which size, and what becomes of improbable labels."""
