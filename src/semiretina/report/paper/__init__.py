"""The page of a reproduction: the paper's tables, figures and claims, beside what came out here."""
