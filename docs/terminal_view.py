"""Draws what a terminal of tmux shows: tmux capture-pane -p | python docs/terminal_view.py docs/PICTURE.png."""

import sys

from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

SIZE, MARGIN = 15, 12
PAPER, INK = "#16181b", "#e8e8e8"


def main() -> None:
    """Read the text from stdin and write the picture."""
    lines = sys.stdin.read().rstrip().splitlines()
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans Mono"), SIZE)
    across, down = font.getlength("m"), SIZE + 4
    picture = Image.new("RGB", (int(80 * across) + 2 * MARGIN, len(lines) * down + 2 * MARGIN), PAPER)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(lines):
        draw.text((MARGIN, MARGIN + number * down), line, font=font, fill=INK)
    picture.save(sys.argv[1], optimize=True)


if __name__ == "__main__":
    main()
