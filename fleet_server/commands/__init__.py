"""The commands slice: what lampposts are told to do, what came of it, and the files that it brought."""
