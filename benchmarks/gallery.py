"""The worst cases of a bundle as a picture: truth in green, the model's mask in red, and how far apart they are.

    python benchmarks/gallery.py -o failures.png [--bundle FOLDER] [--phantoms 40] [--families 20] [--worst 6]
    python benchmarks/gallery.py -o failures.png --folder FOLDER [--names case03 case08]

The cases are phantoms (seeds and families as in released.py), or those of a folder with images/ and labels/. Each
case has one row: five slices from the first to the last slice of the truth, with the anterior side at the top.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from families import FAMILIES, phantom_of
from PIL import Image, ImageDraw
from released import FIRST_OF_FAMILIES

from prostate_seg import Volume, load_bundle, read
from prostate_seg.evaluation.metrics import Metrics, evaluate_masks
from prostate_seg.reading.masks import read_mask
from prostate_seg.writing.view import outlines, view_of

TILE, CAPTION, SLICES = 220, 16, 5
Case = tuple[str, Volume, np.ndarray]


def phantoms(count: int, of_families: int) -> Iterator[Case]:
    """Yield held-out phantoms: those of the training ranges, then those of all families."""
    wanted = [("as trained", seed) for seed in range(count)]
    last = FIRST_OF_FAMILIES + of_families
    wanted += [(family, seed) for family in FAMILIES for seed in range(FIRST_OF_FAMILIES, last)]
    for family, seed in wanted:
        phantom = phantom_of(family, seed)
        yield f"phantom {seed}, {family}", phantom.image, phantom.structures["ctv"]


def files(folder: Path, names: list[str]) -> Iterator[Case]:
    """Yield the cases of a folder."""
    for path in sorted((folder / "images").iterdir()):
        name = path.name.split(".")[0]
        if not names or name in names:
            yield name, read(path), read_mask(next((folder / "labels").glob(f"{name}.*"))).mask()


def row(case: Case, mask: np.ndarray, scores: Metrics) -> Image.Image:
    """Draw the row of one case."""
    name, volume, truth = case
    view = view_of(volume, [truth, mask])
    masks = [(view.of(truth), (60, 220, 90)), (view.of(mask), (255, 80, 60))]
    occupied = np.flatnonzero(masks[0][0].any((0, 1)))
    picture = Image.new("RGB", (SLICES * (TILE + 2), TILE + CAPTION + 2))
    caption = (
        f"{name}: Dice {scores.dice:.3f}, HD95 {scores.hd95_mm:.1f} mm, volume {scores.volume_error_ml:+.1f} mL"
    )
    ImageDraw.Draw(picture).text((3, 2), caption, fill=(235, 235, 235))
    scale = TILE / max(view.extent_mm)
    size = tuple(max(1, round(length * scale)) for length in view.extent_mm)
    for n, k in enumerate(np.linspace(occupied[0], occupied[-1], SLICES).round().astype(int)):
        tile = Image.fromarray(np.ascontiguousarray(view.gray[:, :, k].T)).resize((size[0], size[1])).convert("RGB")
        draw = ImageDraw.Draw(tile)
        for drawn, colour in masks:
            for outline in outlines(drawn[:, :, k]):
                points = outline * np.array(size) / drawn.shape[:2] - 0.5
                draw.line([tuple(point) for point in points.tolist()], fill=colour, width=1)
        picture.paste(tile, (n * (TILE + 2), CAPTION))
    return picture


def main() -> None:
    """Segment the cases, keep the worst and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--weights", default="released")
    parser.add_argument("--phantoms", type=int, default=40)
    parser.add_argument("--families", type=int, default=0)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--names", nargs="*", default=[])
    parser.add_argument("--worst", type=int, default=6)
    options = parser.parse_args()
    predictor = load_bundle(options.bundle, weights=options.weights)
    cases = files(options.folder, options.names) if options.folder else phantoms(options.phantoms, options.families)
    found = []
    for case in cases:
        mask = predictor(case[1]).mask()
        found.append((case, mask, evaluate_masks(mask, case[2], case[1].spacing_mm)))
        found = sorted(found, key=lambda one: one[2].dice)[: options.worst]
    if not found:
        sys.exit(f"{options.folder} has none of the cases {', '.join(options.names)}")
    rows = [row(*one) for one in found]
    sheet = Image.new("RGB", (rows[0].width, sum(one.height for one in rows)))
    for n, one in enumerate(rows):
        sheet.paste(one, (0, n * rows[0].height))
    sheet.save(options.output, optimize=True)


if __name__ == "__main__":
    main()
