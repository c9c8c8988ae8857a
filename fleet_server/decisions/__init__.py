"""The decisions slice: verdicts of lampposts become incidents that people work on."""
