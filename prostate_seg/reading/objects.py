"""Images of nibabel and SimpleITK, read as the files that they would be saved to."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import InputError


@contextmanager
def as_file(source: Any) -> Iterator[Path]:
    """Yield the path of an image: the path itself, or a temporary file of a nibabel or SimpleITK image.

    So an image in memory is read by the same rules as its file. InputError is raised for another type.
    """
    if isinstance(source, str | Path):
        yield Path(source)
        return
    nibabel, simpleitk = sys.modules.get("nibabel"), sys.modules.get("SimpleITK")
    with tempfile.TemporaryDirectory() as folder:
        if nibabel is not None and isinstance(source, nibabel.Nifti1Pair | nibabel.Nifti2Image):
            path = Path(folder) / "image.nii"
            _saved(nibabel.save, source, path)
        elif simpleitk is not None and isinstance(source, simpleitk.Image):
            path = Path(folder) / "image.nrrd"
            _saved(simpleitk.WriteImage, source, path)
        else:
            raise InputError(
                f"An image is a path or an image of nibabel (NIfTI) or SimpleITK, got {type(source).__name__}; for "
                "an array, give prostate_seg.Volume(array, affine) or Segmentation(labels, affine)."
            )
        yield path


def _saved(save: Callable[[Any, str], Any], image: Any, path: Path) -> None:
    """Save an image to a temporary file. Raise InputError if its library cannot save it."""
    try:
        save(image, str(path))
    except (OSError, RuntimeError, ValueError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise InputError(
            f"An image in memory cannot be read: it cannot be saved as {path.suffix} ({why})."
        ) from error
