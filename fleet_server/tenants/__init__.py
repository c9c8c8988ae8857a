"""Tenants of one installation: who they are, what they may use, and the wall between them."""
