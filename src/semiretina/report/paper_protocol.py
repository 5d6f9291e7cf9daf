"""The paper's protocol, which selects on the test photographs, beside the single look."""

from semiretina.report.columns import Cell, percent, score
from semiretina.report.epoch_curves import curves_by_epoch
from semiretina.report.run_set import RunSet
from semiretina.report.section import Pictures, Section, section, table

NOTE = (
    "Accuracy on test in %. The maximum over epochs of the test accuracy selects on the test photographs and is too "
    "high; it stands here only to compare with the paper."
)


def paper_protocol(runs: RunSet) -> Section | None:
    """A row for each run and task that was tracked on test, and its accuracy there over the epochs."""
    rows: list[list[Cell | str]] = []
    for run in runs.runs:
        for task, stated in (run.result.get("paper_protocol") or {}).items():
            once = percent(score(run.result["test"].get(task, {}), "accuracy"))
            highest, last, mean = (percent(score(stated, name)) for name in ("max", "last", "mean_last_ten"))
            rows.append([run.label, task, once, highest, str(stated["epoch"]), last, mean])
    columns = ["run", "task", "looked at once", "max over epochs", "at epoch", "last epoch", "mean of last ten"]
    drawn = Pictures("Test accuracy by epoch", curves_by_epoch(runs, "test", ("accuracy",)), runs.styles)
    return section("Under the paper's protocol", table(NOTE, columns, rows), drawn if rows else None)
