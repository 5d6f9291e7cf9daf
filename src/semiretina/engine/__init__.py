"""The engine: the training loop, evaluation, checkpoints and the grader."""
