"""Scores with intervals: arrays in, numbers out."""

from semiretina.scoring.caution import caution
from semiretina.scoring.intervals import Estimate
from semiretina.scoring.scores import binary_scores, class_scores

__all__ = ["Estimate", "binary_scores", "caution", "class_scores"]
