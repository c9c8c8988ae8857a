"""One folder a model family: training, evaluation, quantization, card; features are shared with the edge."""
