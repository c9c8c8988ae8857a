"""The audit log for whoever may read it: list, show, export, verify, sign."""
