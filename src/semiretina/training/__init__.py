"""Training: the loop, its epochs, checkpoints and optimisers."""
