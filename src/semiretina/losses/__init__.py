"""Losses: functions from tensors to a scalar tensor, each with its formula and equation number."""
