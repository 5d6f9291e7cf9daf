"""Studies: many runs planned, trained and reported together."""
