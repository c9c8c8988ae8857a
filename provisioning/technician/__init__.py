"""The technician's tool: from an empty card to a lamppost that was handed over, with a connection or not."""
