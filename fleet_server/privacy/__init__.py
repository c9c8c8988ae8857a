"""Personal data: where it lies, how long, and what somebody may ask of us about theirs (GDPR)."""
