"""The window a model sees, shared by training and the edge: pure Python, no numpy, no I/O."""
