"""Figure 4's material: a few held-out photographs, and what the decoder makes of them."""

import json
from pathlib import Path

from PIL import Image

from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.files import write_text
from semiretina.judging.inference import reconstruct_rows
from semiretina.models.network import Network

SAMPLES = 4


def write_samples(
    folder: Path, split: Split, role: str, pixels: Pixels, network: Network, batch: int, *, decode: bool
) -> None:
    """Writes the role's first originals and, with `decode`, reconstructions as PNG, and `samples.json` that pairs them.

    Reconstructions are taken when the decoder has just been trained: a later stage moves the encoder away from it.
    """
    rows = split.rows(role)[:SAMPLES]
    reconstructions = reconstruct_rows(network, pixels, rows, batch)[1] if decode else None
    folder.mkdir(exist_ok=True)
    samples: list[dict[str, str | None]] = []
    for number, row in enumerate(rows):
        original, reconstruction = f"original-{number:02d}.png", None
        Image.fromarray(pixels.take(rows[number : number + 1])[0].cpu().numpy()).save(folder / original)
        if reconstructions is not None:
            reconstruction = f"reconstruction-{number:02d}.png"
            picture = (reconstructions[number].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
            Image.fromarray(picture.numpy()).save(folder / reconstruction)
        samples.append({"path": str(split.records[row].path), "original": original, "reconstruction": reconstruction})
    write_text(folder / "samples.json", json.dumps(samples, indent=1) + "\n")
