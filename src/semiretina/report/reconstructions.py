"""Figure 4 of the paper: originals beside what the decoder of each run makes of them."""

import hashlib
from collections.abc import Sequence

from semiretina.report.columns import Cell
from semiretina.report.pictures import Picture, photograph
from semiretina.report.run_set import RunSet
from semiretina.report.runs import Run
from semiretina.report.section import Section, Table, section

NOTE = (
    "As the paper's figure 4: test photographs as the network sees them, and what each decoder made of them when its "
    "training ended."
)
NONE = "None of these runs trained a decoder."


def reconstructions(runs: RunSet) -> Section | None:
    """The grids of these runs; a report that is shared has none."""
    return None if runs.shared else section("", *sample_grids(runs.runs, NOTE, f"{NOTE} {NONE}"))


def sample_grids(runs: Sequence[Run], note: str, without: str) -> list[Table]:
    """Rows of photographs: the originals, then what each run's decoder made of them, if it was ever trained.

    Runs that show the same photographs share one grid. The note is `without` where no run has a decoder.
    """
    alike: dict[str, list[Run]] = {}
    for run in runs:
        originals = [(run.folder.samples / sample["original"]).read_bytes() for sample in run.samples()]
        if originals:
            alike.setdefault(hashlib.sha256(b"".join(originals)).hexdigest(), []).append(run)
    return [_grid(number, group, note, without) for number, group in enumerate(alike.values(), start=1)]


def _grid(number: int, runs: Sequence[Run], note: str, without: str) -> Table:
    shown = runs[0].samples()
    names = [str(sample["path"]).replace("\\", "/").rsplit("/", 1)[-1] for sample in shown]

    def row(run: Run, title: str, kind: str, says: str) -> list[Cell]:
        files = [sample[kind] for sample in run.samples()]
        cells = [
            Cell(picture=Picture(photograph(run.folder.samples / file), says.format(name))) if file else Cell()
            for name, file in zip(names, files, strict=True)
        ]
        return [Cell(title), *cells]

    rows = [row(runs[0], "original", "original", "Photograph {}")]
    for run in runs:
        if any(sample["reconstruction"] for sample in run.samples()) and _trained_a_decoder(run):
            says = f"Reconstruction of {{}} by {run.label.replace('{', '{{').replace('}', '}}')}"
            rows.append(row(run, run.label, "reconstruction", says))
    note = note if len(rows) > 1 else without
    return Table(f"Grid {number} of originals and reconstructions", note, ["", *names], rows, kind="samples")


def _trained_a_decoder(run: Run) -> bool:
    return any("loss_ae" in row["train"] or "reconstruction" in row["val"] for row in run.epochs())
