"""Draws the icons of the extension for 3D Slicer: ``python docs/slicer_icons.py`` writes them into ``slicer``."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from prostate_seg.geometry.structures import CTV, structure
from prostate_seg.phantom import make_phantom

FOLDER = Path(__file__).resolve().parents[1] / "slicer"
SIDE, FINE = 128, 4  # pixels; drawn larger, then reduced


def icon(click=False):
    """A gland with its outline in the field of view of a probe; with a click, a crosshair on the boundary."""
    side = SIDE * FINE
    image = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(image)
    dark, gray = (38, 50, 56), (120, 144, 156)
    centre, reach = (side * 0.5, side * 1.02), side * 0.98
    draw.pieslice((centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach), 211, 329, fill=dark)
    probe = side * 0.22
    draw.ellipse((centre[0] - probe, centre[1] - probe, centre[0] + probe, centre[1] + probe), fill=(0, 0, 0, 0))
    box = (side * 0.2, side * 0.26, side * 0.8, side * 0.74)
    draw.ellipse(box, fill=gray, outline=structure(CTV).colour, width=7 * FINE)
    if click:
        x, y, arm = side * 0.72, side * 0.35, side * 0.14
        for width, colour in ((9 * FINE, dark), (4 * FINE, (255, 255, 255))):
            for line in ((x - arm, y, x + arm, y), (x, y - arm, x, y + arm)):
                draw.line(line, fill=colour, width=width)
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def thumbnail(seed=3, size=(260, 280)):
    """The middle slice of the sample phantom, with the outline of its gland."""
    phantom = make_phantom(seed)
    k = int(np.argwhere(phantom.truth.labels).mean(axis=0)[2])
    gray = Image.fromarray(np.clip(phantom.image.array[:, :, k].T, 0, 255).astype(np.uint8)).convert("RGB")
    across, down = phantom.image.spacing_mm[:2]
    scale = min(size[0] / (gray.width * across), size[1] / (gray.height * down))
    gray = gray.resize((round(gray.width * across * scale), round(gray.height * down * scale)))
    draw = ImageDraw.Draw(gray)
    for line in find_contours(phantom.truth.labels[:, :, k], 0.5):
        points = (line + 0.5) * (across * scale, down * scale)
        draw.line([tuple(point) for point in points], fill=structure(CTV).colour, width=2)
    return gray.quantize(64)


def main():
    effect = FOLDER / "SegmentEditorProstateSeg"
    for path in (
        FOLDER / "ProstateSeg.png",
        FOLDER / "ProstateSeg" / "Resources" / "Icons" / "ProstateSeg.png",
        effect / "Resources" / "Icons" / "SegmentEditorProstateSeg.png",
    ):
        icon().save(path, optimize=True)
    icon(click=True).save(
        effect / "SegmentEditorProstateSegLib" / "SegmentEditorProstateSegEffect.png", optimize=True
    )
    thumbnail().save(FOLDER / "ProstateSeg" / "Resources" / "Icons" / "ProstatePhantom.png", optimize=True)


if __name__ == "__main__":
    main()
