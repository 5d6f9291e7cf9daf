"""What to beware of in these results."""

from semiretina.report.run_set import RunSet
from semiretina.report.section import Bullets, Item, Section, section


def cautions(runs: RunSet) -> Section | None:
    """A list of sentences."""
    return section("", Bullets([Item(text) for text in caution_texts(runs)]))


def caution_texts(runs: RunSet) -> list[str]:
    """What the scores warn of, each sentence once with the outputs and runs that it holds for; what is not drawn."""
    warned: dict[str, list[str]] = {}
    for run in runs.runs:
        for key, scores in run.result["test"].items():
            stated = scores.get("caution") or []
            for text in [stated] if isinstance(stated, str) else stated:
                warned.setdefault(text, []).append(f"{key} of {run.label}")
    texts = [f"{', '.join(dict.fromkeys(where))}: {text}" for text, where in warned.items()]
    return [runs.hide(text) for text in [*texts, *dict.fromkeys(runs.undrawn())]]
