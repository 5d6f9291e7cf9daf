"""Figure 4's material: a few held-out photographs, and what the decoder makes of them."""

from pathlib import Path

from PIL import Image
from torch import Tensor

from semiretina.data.pixels import Pixels
from semiretina.data.split import Split
from semiretina.files import write_json

SAMPLES = 4


def write_samples(file: Path, split: Split, role: str, pixels: Pixels, decoded: Tensor | None = None) -> None:
    """Writes the role's first originals and what was `decoded` of them as PNG, and beside them `file`, that pairs them.

    `decoded` [n, 3, h, w] are to be taken when the decoder has just been trained: a later stage moves the encoder away
    from it.
    """
    rows = split.rows(role)[:SAMPLES]
    file.parent.mkdir(exist_ok=True)
    samples: list[dict[str, str | None]] = []
    for number, row in enumerate(rows):
        original, reconstruction = f"original-{number:02d}.png", None
        Image.fromarray(pixels.take(rows[number : number + 1])[0].cpu().numpy()).save(file.with_name(original))
        if decoded is not None:
            reconstruction = f"reconstruction-{number:02d}.png"
            picture = (decoded[number].clamp(0, 1) * 255).round().byte().permute(1, 2, 0)
            Image.fromarray(picture.numpy()).save(file.with_name(reconstruction))
        samples.append({"path": str(split.records[row].path), "original": original, "reconstruction": reconstruction})
    write_json(file, samples)
