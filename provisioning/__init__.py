"""Identity: the city's certificate authority, claims, and the broker's configuration."""
