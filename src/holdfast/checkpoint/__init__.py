"""Checkpoints: the file, the folder of them, and what is kept."""
