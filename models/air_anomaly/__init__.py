"""Episodes told from faults and from the street's own day: recipe, training, quantization, card."""
