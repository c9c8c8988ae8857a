"""The air slice: calibrations, corrected hourly means, indices of lampposts and of districts."""
