"""RetinaMNIST: 1600 photographs of DeepDRiD, cut to squares and made small (MedMNIST v2, Yang et al., Sci Data 2023).

One `.npz` file a size (28, 64, 128, 224 pixels) with the arrays `{train,val,test}_images`, uint8 [n, size, size, 3],
and `{train,val,test}_labels`, [n, 1], the grades. The photographs are written as PNG beside it, once.

Nothing tells whose they are. DeepDRiD has several photographs of each patient; RetinaMNIST divides its training part
9 : 1 into `train` and `val` and takes its validation part for `test`. So one patient may stand in train and val, and in
several parts of any new split; photographs that `deepdrid` gives too are not recognised.
"""

import hashlib
import os
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from semiretina.data.sources.download import check_folder, write_png
from semiretina.data.sources.source import Source
from semiretina.errors import BadData, MissingInput, summary
from semiretina.progress import progress, say
from semiretina.records import SCALES, Record

PARTS: Mapping[str, int] = {"train": 1080, "val": 120, "test": 400}
MD5: Mapping[int, str] = {  # size in pixels -> sum of the published file (MedMNIST's own `info.py`)
    28: "bd4c0672f1bba3e3a89f0e4e876791e4",
    64: "afda852cc34dcda56f86ad2b2457dbcc",
    128: "e48e916a24454daf90583d4e6efb1a18",
    224: "eae7e3b6f3fcbda4ae613ebdcbe35348",
}
Arrays = dict[str, npt.NDArray[np.generic]]


def records(root: Path, *, official_split: bool = False, verify: bool = True, images: str = "") -> list[Record]:
    """The photographs in the order of the file: train, val, test. `root` is the file, or a folder that holds one.

    `official_split` gives them the published roles; without it no role is given. `verify=False` takes a file that is
    not the published one, as long as its arrays have the form; counts that differ are told. `images` is the folder for
    the PNG files; without it, one beside the file that is named after the file and its sum.

    Raises MissingInput where there is no file, BadData for another sum, and for every array of another form.
    """
    file = _find(Path(os.path.abspath(root)))
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "md5").hexdigest()
    if verify and digest not in MD5.values():
        raise BadData(
            f"{file}: its md5 is {digest}, {_published(file)}. Download it again, or, if the file is meant to "
            "be another one, add -o verify=false"
        )
    arrays = _load(file)
    folder = Path(os.path.abspath(images)) if images else file.with_name(f"{file.stem}-{digest[:8]}")
    size = arrays["train_images"].shape[1]
    result = []
    for part, published in PARTS.items():
        grades = arrays[f"{part}_labels"].reshape(-1)
        if len(grades) != published:
            say(f"retinamnist: {len(grades)} photographs in '{part}', {published} are published")
        for number, grade in enumerate(grades):
            result.append(
                Record(
                    path=folder / f"{part}-{number:04d}.png",
                    dataset="retinamnist",
                    split=part if official_split else "",
                    scale="icdr",
                    grade=int(grade),
                    provenance=f"RetinaMNIST, {size} pixels, {part} {number}",
                )
            )
    pictures = [picture for part in PARTS for picture in arrays[f"{part}_images"]]
    with (
        progress(f"Writing the photographs of {file.name}", len(result)) as advance,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        for _ in pool.map(write_png, pictures, [record.path for record in result]):
            advance()
    counts = Counter(record.grade for record in result)
    say(
        f"retinamnist: grades {', '.join(f'{grade}: {counts[grade]}' for grade in sorted(counts, key=str))}. Whose the "
        "photographs are is not published: one patient's may stand in several parts"
    )
    return result


def _find(root: Path) -> Path:
    if root.is_file():
        return root
    check_folder(root, "retinamnist.npz")
    files = sorted(f for f in root.iterdir() if f.name.lower().startswith("retinamnist") and f.suffix == ".npz")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise BadData(f"{root}: holds {names}, the same photographs in several sizes; give one of the files as root")
    if not files:
        unpacked = (root / "train_images.npy").exists()
        why = "an unpacked .npz; give the file itself" if unpacked else f"no retinamnist*.npz; get it: {SOURCE.get}"
        raise MissingInput(f"{root}: {why}")
    return files[0]


def _published(file: Path) -> str:
    """What the sum should have been: of the size that the file's name tells, as the downloads are called."""
    named = re.fullmatch(r"retinamnist(?:_(\d+))?", file.stem.lower())
    size = int(named[1] or 28) if named else 0
    if size in MD5:
        return f"that of the published {size}-pixel file is {MD5[size]}"
    return "those of the published files are " + ", ".join(f"{md5} ({size} pixels)" for size, md5 in MD5.items())


def _load(file: Path) -> Arrays:
    """The six arrays; BadData names everything that keeps them from being used."""
    wanted = [f"{part}_{kind}" for part in PARTS for kind in ("images", "labels")]
    try:
        content = np.load(file, allow_pickle=False)
        if isinstance(content, np.ndarray):
            raise BadData(f"{file}: one array and not an .npz file of six; give the file as it was downloaded")
        with content:
            absent = [name for name in wanted if name not in content.files]
            if absent:
                held = ", ".join(sorted(content.files)) or "nothing"
                raise BadData(f"{file}: no array {', '.join(absent)} in it; it holds {held}")
            arrays = {name: content[name] for name in wanted}
    except BadData:
        raise
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, MemoryError) as error:
        raise BadData(f"{file}: not a whole .npz file ({error}); download it again") from None
    defects = [defect for part in PARTS for defect in _defects(part, arrays)]
    sizes = {part: arrays[f"{part}_images"].shape[1:] for part in PARTS}
    if not defects and len(set(sizes.values())) > 1:
        defects = [f"photographs of several sizes: {', '.join(f'{part} {size}' for part, size in sizes.items())}"]
    if defects:
        raise BadData(summary(str(file), defects, "download the file again"))
    return arrays


def _defects(part: str, arrays: Arrays) -> list[str]:
    pictures, labels = arrays[f"{part}_images"], arrays[f"{part}_labels"]
    defects = []
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[3] != 3 or not pictures.size:
        defects.append(f"{part}_images: {pictures.dtype} {list(pictures.shape)} instead of uint8 [n, size, size, 3]")
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape not in ((len(labels),), (len(labels), 1)):
        return [*defects, f"{part}_labels: {labels.dtype} {list(labels.shape)} instead of whole numbers [n, 1]"]
    if len(labels) != len(pictures):
        defects.append(f"{part}: {len(pictures)} photographs and {len(labels)} labels")
    grades = labels.reshape(-1)
    wrong = [f"{n} ({grades[n]})" for n in range(len(grades)) if not 0 <= grades[n] <= SCALES["icdr"]]
    if wrong:
        more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
        defects.append(f"{part}_labels: no grade from 0 to {SCALES['icdr']} at {', '.join(wrong[:5])}{more}")
    return defects


SOURCE = Source(
    read=records,
    title="RetinaMNIST, small squares of DeepDRiD's photographs (28, 64, 128 or 224 pixels)",
    scale="icdr",
    licence="CC BY 4.0",
    redistributable=True,
    get="https://zenodo.org/records/10519652 (retinamnist.npz, _64, _128, _224)",
    citation="Yang et al., Sci Data 2023; 10:41, doi:10.1038/s41597-022-01721-8",
    counts=PARTS,
    # Of train 486, 128, 206, 194 and 66, of val 54, 12, 28, 20 and 6, of test 174, 46, 92, 68 and 20.
    grades={0: 714, 1: 186, 2: 326, 3: 282, 4: 92},
)
