"""How numbers are put into words, the same in every room."""


def counted(count: int, noun: str) -> str:
    """The number with its noun: "1 run", "3 runs"; the noun takes its plural by an s."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
