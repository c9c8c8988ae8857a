"""Emulated sensors: the devices as pure protocol objects, the air they measure, their host."""
