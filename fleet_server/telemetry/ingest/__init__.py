"""From an MQTT message to a committed row and an ack: intake, transaction, acks, and the loop around them."""
