"""The city's database as a whole: brought to the newest step, saved, brought back, looked over."""
