"""The order of samples, and the batches of every step."""
