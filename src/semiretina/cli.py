"""The command line: verbs only, each a few lines on top of the library. Heavy imports stand inside the verbs."""

import errno
import json
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from semiretina import __version__
from semiretina.data_verbs import AsJson, Overrides, data
from semiretina.errors import UNWRITABLE, CannotWrite, Interrupted, UserError

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
weights = typer.Typer(no_args_is_help=True, help="Pretrained weights.")
app.add_typer(data, name="data")
app.add_typer(weights, name="weights")

Share = Annotated[
    bool | None,
    typer.Option(
        "--share/--no-share",
        help="Leave photographs, names and paths out; by default where a data set may not be passed on.",
    ),
]


class OwnSplit(StrEnum):
    """What `evaluate` may score of a run's own photographs."""

    val = "val"
    test = "test"


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option(help="Where the runs and the report go.")] = Path("quickstart"),
) -> None:
    """Draw synthetic photographs, train the paper's three ways, write a report. Minutes on two cores."""
    from semiretina.progress import say

    say("quickstart: loading torch, then drawing synthetic photographs")
    from semiretina.studies.quickstart import quickstart as run

    print(run(out))


@app.command()
def train(
    config: Path,
    out: Annotated[Path | None, typer.Option(help="The run folder; runs/NAME-OF-CONFIG when not given.")] = None,
    o: Overrides = None,
) -> None:
    """Train and evaluate one experiment, or all its folds; goes on by itself where the run folder holds a beginning."""
    from semiretina.config import load_config
    from semiretina.experiment import train as train_one
    from semiretina.report import results_table, to_text
    from semiretina.studies.folds import train_folds

    folder, read = out or Path("runs") / config.stem, load_config(config, o or ())
    run = train_folds if read.data.folds and read.data.fold is None else train_one
    if run(read, folder):
        print(to_text(results_table([folder])))
        print(f"run folder: {folder}")


@app.command()
def evaluate(
    run: Path,
    split: Annotated[OwnSplit | None, typer.Option(help="Of the run's own photographs; test when not given.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Score another data set instead.")] = None,
    as_json: AsJson = False,
) -> None:
    """Score a run's grader on its own test set or on another data set."""
    from semiretina.judging.evaluate import evaluate as score
    from semiretina.report.scores_text import to_text

    if manifest and split:
        raise typer.BadParameter("give one of --split and --manifest")
    result = score(run, manifest or (split or OwnSplit.test).value)
    print(json.dumps(result, indent=1) if as_json else to_text(result))


@app.command()
def predict(
    run: Path,
    inputs: Annotated[list[Path], typer.Argument(help="Photographs, folders of photographs, or manifests (.csv).")],
    out: Annotated[Path, typer.Option(help="The CSV; rows that are complete there are kept.")],
) -> None:
    """Grade photographs: a row for each photograph and output, failures included with the reason."""
    from semiretina.judging.grader import load
    from semiretina.judging.predict import predict as run_grader

    graded, failed = run_grader(load(run), inputs, out)
    print(f"{graded} graded, {failed} failed: {out}")


@app.command()
def reproduce(
    source: Annotated[str, typer.Argument(help="The labelled photographs' source: see `semiretina data list`.")],
    root: Annotated[Path, typer.Option(help="The source's folder.")],
    out: Annotated[Path, typer.Option(help="The study's folder; the same command goes on there.")],
    unlabeled: Annotated[list[str] | None, typer.Option(help="SOURCE=FOLDER, used without labels; repeatable.")] = None,
    nearer: Annotated[str, typer.Option(help="SOURCE=FOLDER with labels, to pretrain on (section 5.3).")] = "",
    weights: Annotated[
        Path | None,
        typer.Option(help="Folder: resnet18.safetensors, inceptionv3.safetensors; downloaded when not given."),
    ] = None,
    preset: Annotated[str, typer.Option(help="paper, or corrected.")] = "corrected",
    seeds: Annotated[
        int | None, typer.Option(help="How often each training is repeated; 3 when not given, 1 with --quick.")
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="In small: configs/paper/quick.toml.")] = False,
    share: Share = None,
) -> None:
    """Train everything that the paper trains, and write its tables and figures."""
    from semiretina.studies.reproduce import Request
    from semiretina.studies.reproduce import reproduce as run

    print(run(Request(source, root, unlabeled or (), nearer, weights, preset, seeds, quick), out, share))


@app.command()
def report(
    runs: list[Path],
    out: Annotated[Path, typer.Option(help="The folder for report.html, .md and .json.")] = Path("report"),
    share: Share = None,
) -> None:
    """Write one self-contained report.html from run folders, and the same as report.md and report.json."""
    from semiretina.report import write_report

    print(write_report(runs, out, share))


@app.command()
def sweep(
    config: Path,
    grid: Annotated[Path, typer.Argument(help="A TOML file of dotted keys, each with the list of its values.")],
    out: Annotated[Path, typer.Option(help="A run folder for each point, points.jsonl and table1.html.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only every N-th point from the I-th on.")] = "",
    cluster: Annotated[str, typer.Option(metavar="ADDRESS", help="A Ray cluster: local, auto or host:port.")] = "",
    o: Overrides = None,
) -> None:
    """Train every point of a grid and print Table 1; what is finished is not trained again."""
    if sum([workers > 1, bool(shard), bool(cluster)]) > 1:
        raise typer.BadParameter("give one of --workers, --shard and --cluster")
    from semiretina.studies.grid import grid_points
    from semiretina.studies.sweep import shard_slice
    from semiretina.studies.sweep import sweep as run

    shard_slice(shard)  # refused before every photograph is read
    print(run(grid_points(config, grid, o or ()), out, workers=workers, shard=shard, cluster=cluster))


@app.command("list")
def list_names() -> None:
    """Sources, models, methods and tasks, with their parameters."""
    from semiretina.catalogue import catalogue

    print(catalogue())


@weights.command("convert")
def convert(
    file: Path,
    name: Annotated[str, typer.Option("--as", help="The key map: see `semiretina list`.")],
    out: Annotated[Path, typer.Option(help="The .safetensors file to write.")],
) -> None:
    """Turn a downloaded .pth into safetensors, checking that it is what it claims to be."""
    from semiretina.models.weights import convert as turn

    turn(file, name, out)
    print(out)


@app.callback(invoke_without_command=True)
def version(show: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    """Train, compare and explain graders of diabetic retinopathy from labelled and unlabelled fundus photographs.

    Research software, not a medical device.
    """
    if show:
        print(__version__)
        raise typer.Exit


class Stopped(BaseException):
    """SIGINT or SIGTERM. Not KeyboardInterrupt, which typer would end with a status of its own."""


def main() -> None:
    """Runs the command line; every expected failure is one line on stderr and a fitting exit status."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # A shell that starts a job in the background has it ignore SIGINT, and that is to stay.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise_stopped)
    try:
        app(prog_name="semiretina")
    except UserError as error:
        _stop(str(error), error.exit_code)
    except Stopped:
        _stop("stopped; the same command goes on where this one ended", Interrupted.exit_code)
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        if error.errno in UNWRITABLE:
            _stop(f"{reason}; choose another place", CannotWrite.exit_code)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "nothing half-written is kept: make room and run again" if full else "check the disk and run again"
        _stop(f"{reason}; {advice}", 74)


def _raise_stopped(signum: int, frame: object) -> None:
    raise Stopped


def _stop(message: str, status: int) -> None:
    # One line, whatever a library put into its message.
    print(f"semiretina: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
