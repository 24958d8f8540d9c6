"""A folder with images/ and labels/ of equal names becomes a datalist.

    python data_prep/folders.py FOLDER -o datalist.json --validation case03 case12

The name of a case is the file name up to the first dot. The cases listed after --validation are for validation, all
others for training.
"""

import argparse
import json
import os
import sys
from pathlib import Path


def pairs(folder: Path) -> dict[str, tuple[Path, Path]]:
    """Return the image and label of each case. Raise SystemExit if a file has no partner."""
    found = [
        {path.name.split(".")[0]: path for path in sorted((folder / part).iterdir())}
        for part in ("images", "labels")
    ]
    alone = set(found[0]) ^ set(found[1])
    if alone:
        sys.exit(f"{folder}: no image or no label for {', '.join(sorted(alone))}")
    return {name: (found[0][name], found[1][name]) for name in found[0]}


def main() -> None:
    """Write the datalist."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--validation", nargs="*", default=[])
    options = parser.parse_args()
    for part in ("images", "labels"):
        if not (options.folder / part).is_dir():
            sys.exit(f"{options.folder} has no folder {part}; it needs images/ and labels/ with equal names")
    cases = pairs(options.folder)
    unknown = set(options.validation) - set(cases)
    if unknown:
        sys.exit(f"{options.folder} has no case {', '.join(sorted(unknown))}")
    sections: dict[str, list[dict[str, str]]] = {"training": [], "validation": []}
    for name, files in cases.items():
        image, label = (os.path.relpath(file.resolve(), options.output.resolve().parent) for file in files)
        section = "validation" if name in options.validation else "training"
        sections[section].append({"case": name, "image": image, "label": label})
    options.output.write_text(json.dumps(sections, indent=1), encoding="utf-8")
    print(f"{options.output}: {len(sections['training'])} training, {len(sections['validation'])} validation cases")


if __name__ == "__main__":
    main()
