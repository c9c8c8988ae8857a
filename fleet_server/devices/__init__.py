"""The devices slice: the registry of lampposts, their presence, conditions and sensor units."""
