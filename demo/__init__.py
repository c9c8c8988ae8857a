"""A city on one laptop: every part as its real process, and what was stored against what was sensed.

It composes the others by their command lines and files; nothing imports it (`docs/adr/`).
"""
