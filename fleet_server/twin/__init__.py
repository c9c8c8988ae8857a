"""The twin slice: what lampposts are wished to do and say they do, tags, settings that inherit, groups."""
