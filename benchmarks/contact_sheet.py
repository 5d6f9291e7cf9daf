"""Contact sheets of the synthetic photographs, for the documentation.

python benchmarks/contact_sheet.py docs/images
"""

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from semiretina.data.simulator import fundus
from semiretina.data.simulator.anatomy import Difficulty
from semiretina.data.simulator.cameras import HOSPITALS
from semiretina.records import LESIONS

SITES = tuple(HOSPITALS)


def contact_sheet(difficulty: Difficulty, seed: int = 0, size: int = 160) -> Image.Image:
    """A row for each hospital: grades 0 to 4. Below, twin eyes, and a photograph, its masks, and it without lesions."""
    wide, high, margin = round(1.24 * size), round(1.14 * size), 16
    sheet = Image.new("RGB", (5 * wide, 4 * (high + margin)))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(11)

    def put(image: npt.NDArray[np.uint8], row: int, column: int, caption: str) -> None:
        tile = Image.fromarray(image)
        left, top = (tile.width - wide) // 2, (tile.height - high) // 2
        sheet.paste(tile.crop((left, top, left + wide, top + high)), (column * wide, row * (high + margin)))
        pen.text((column * wide + 6, row * (high + margin) + high + 1), caption, fill=(210, 210, 210), font=font)

    for row, site in enumerate(SITES):
        for grade in range(5):
            eye = ("right", "left")[grade % 2]
            image, _ = fundus.draw((seed, 100 * row + grade, eye), grade, site, size, difficulty)
            put(image, row, grade, f"{site}, {eye} eye, grade {grade}")
    for column, eye in enumerate(("right", "left")):
        put(
            fundus.draw((seed, 300, eye), 2, SITES[0], size, difficulty)[0], 3, column, f"twin eyes of a patient: {eye}"
        )
    image, masks = fundus.draw((seed, 301, "right"), 3, SITES[-1], size, difficulty)
    put(image, 3, 2, "grade 3")
    colored = image // 3
    for lesion, color in zip(LESIONS, ((80, 255, 80), (255, 60, 60), (255, 255, 0), (0, 200, 255)), strict=True):
        colored[masks[lesion]] = color
    put(colored, 3, 3, "MA green, HE red, EX yellow, SE blue")
    image, _ = fundus.draw((seed, 301, "right"), 3, SITES[-1], size, difficulty, with_lesions=False)
    put(image, 3, 4, "its lesions not drawn")
    return sheet


def draw_sheets(folder: Path) -> None:
    """Writes synthetic-easy.png and synthetic-real.png into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    difficulties: tuple[Difficulty, ...] = ("easy", "real")
    for difficulty in difficulties:
        sheet = contact_sheet(difficulty)
        # Five bits a channel: half the file, and no palette that would bring colours together.
        sheet = sheet.point([level // 8 * 8 + 4 * (level > 7) for level in range(256)] * 3)
        sheet.save(folder / f"synthetic-{difficulty}.png", optimize=True)


if __name__ == "__main__":
    draw_sheets(Path(sys.argv[1]))
