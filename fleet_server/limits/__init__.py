"""What a device may send: how much is a flood, and what becomes of the lamppost that it comes from."""
