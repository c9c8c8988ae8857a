"""A city on one laptop: runs every part as its real process and checks what was stored against what was sensed.

It composes the others by their command lines and files; nothing imports it (`docs/adr/`).
"""
