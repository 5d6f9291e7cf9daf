"""The command line's `semiretina data ...`. Heavy imports stand inside the verbs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from semiretina import __version__
from semiretina.errors import BadData

data = typer.Typer(no_args_is_help=True, help="Data sets and manifests.")

Overrides = Annotated[
    list[str] | None, typer.Option("-o", metavar="KEY=VALUE", help="Set one value: -o stages.0.optimizer.lr=3e-3")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@data.command("list")
def list_sources() -> None:
    """The data sets that can be imported: scale, licence, where to apply."""
    from semiretina.catalogue import sources

    print(sources())


@data.command("import")
def import_source(
    source: str,
    root: Annotated[Path, typer.Option(help="The data set's folder (for `table`: a CSV, or a folder per class).")],
    out: Annotated[Path, typer.Option(help="The manifest to write.")] = Path("manifest.csv"),
    no_errata: Annotated[bool, typer.Option("--no-errata", help="Messidor: keep its known errors.")] = False,
    o: Overrides = None,
) -> None:
    """Read a data set's own files into a manifest."""
    from semiretina.data.sources import import_source as read

    if no_errata and source != "messidor":
        raise typer.BadParameter("only messidor has errata", param_hint="--no-errata")
    count = read(source, root, out, [*(o or ()), *(["errata=false"] if no_errata else [])])
    print(f"{count} records: {out}")


@data.command("merge")
def merge(manifests: list[Path], out: Annotated[Path, typer.Option(help="The manifest to write.")]) -> None:
    """Join manifests into one."""
    from semiretina.data.sources import merge as join

    print(f"{join(manifests, out)} records: {out}")


@data.command("audit")
def audit(
    manifest: Path,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(help="Also write a page, which holds photographs.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Also write the manifest with the column `cluster`: what shows the same picture."),
    ] = None,
) -> None:
    """Find what is wrong with a manifest and its photographs; ends with 65 where training would refuse them."""
    from semiretina.audit import audit_manifest
    from semiretina.audit.audit import write_clusters
    from semiretina.report.audit_page import to_text, write_page

    audited = audit_manifest(manifest)
    if html:
        write_page(audited, html)
    print(json.dumps({"version": __version__, **audited.to_json()}, indent=1) if as_json else to_text(audited))
    if out:
        write_clusters(audited, out)
    if audited.errors:
        raise typer.Exit(BadData.exit_code)


@data.command("hold-out")
def hold_out(
    config: Path, out: Annotated[Path, typer.Option(help="The manifest to write.")], o: Overrides = None
) -> None:
    """Write the manifest with its column `split` naming the test set that the configuration draws."""
    from semiretina.config import load_config
    from semiretina.studies.hold_out import hold_out as write

    print(f"{write(load_config(config, o or ()), out)} photographs have the role test: {out}")
