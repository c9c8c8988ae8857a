"""What the Makefile calls: the environment, and the documents that are generated from the code."""
