"""The loop, the step, the evaluation, and the shape of what a user brings."""
