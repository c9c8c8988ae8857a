"""People, services and devices as principals; what each may do; signing in and out."""
