"""Judging: from a network to answers, and from answers to scores, thresholds and a grader."""
