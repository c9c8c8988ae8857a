"""Model families: one folder each (train, evaluate, quantize, card), and the features shared with the edge."""
