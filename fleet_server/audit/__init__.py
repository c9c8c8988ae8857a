"""The audit log: what writes it, how it is chained, signed and verified. It imports no other slice."""
