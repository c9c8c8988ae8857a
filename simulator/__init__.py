"""Many lampposts in few processes: the load generator, and a user's sandbox."""
