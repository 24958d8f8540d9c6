"""Whether valid inputs still give byte for byte the masks and files that they gave: digests in golden.json.

    python tests/golden.py                 # compare; with PROSTATE_SEG_DATA the 27 scans of trus27 too
    python tests/golden.py --write         # make golden.json anew
    python tests/golden.py --only series --seeds 0 1

Phantoms of seeds 0 to 9 as NIfTI and as every kind of DICOM are written, segmented with the released bundle on the
CPU and exported. Ignored are the digest of the source that mask files carry since (in the description of a NIfTI
file, in the field or the segment tag of a NRRD) and the manifest's extents in the patient, which are measured
otherwise since.

The network runs in float32 and one thread: bfloat16 takes a minute a volume on a CPU that lacks it. Floats still
differ between kinds of CPU and versions of libraries; a canary knows, and then nothing can be compared (exit 3).
"""

import argparse
import functools
import gzip
import hashlib
import importlib.metadata
import io
import json
import os
import re
import sys
import tempfile
import zipfile
import zlib
from contextlib import nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

GOLDEN = Path(__file__).with_name("golden.json")
VERSION = "0.1.0"  # of this package when golden.json was made: DICOM files hold it
LIBRARIES = ("torch", "monai", "numpy", "scipy", "scikit-image", "SimpleITK", "nibabel", "pydicom", "highdicom")
KINDS = ("nifti", "multiframe", "series", "series-without-positions", "enhanced-volume")
OF_ANY = "nifti,seg-nrrd,nrrd,png,stl,vtk,slicer,uncertainty"
OF_DICOM = f"{OF_ANY},dicom-seg,dicom-probability,rtstruct,us-series"
FACTS = ("volume_ml", "ctv_sha256", "spacing_mm", "orientation", "input", "uncertainty")
OTHER_HARDWARE = 3


def canary():
    """What this machine's floats look like: a digest of operations as the network and the phantom use them."""
    torch.manual_seed(0)
    layers = (torch.nn.Conv3d(1, 32, 3, padding=1), torch.nn.GroupNorm(4, 32), torch.nn.GELU())
    with torch.inference_mode():
        x = torch.nn.Sequential(*layers)(torch.linspace(-2, 2, 16 * 12 * 8).reshape(1, 1, 16, 12, 8))
        tokens = torch.nn.LayerNorm(32)(x.flatten(2).transpose(1, 2)[:, :300])
        attended = torch.nn.functional.scaled_dot_product_attention(tokens, tokens, tokens) @ torch.randn(32, 64)
        resized = torch.nn.functional.interpolate(x, (24, 20, 9), mode="trilinear").softmax(1)
    values = np.random.default_rng(0).normal(size=(40, 30, 20))
    others = (np.exp(values), np.fft.rfftn(values), ndimage.gaussian_filter(values, 1.5), *np.linalg.svd(values[0]))
    parts = [attended.numpy().tobytes(), resized.numpy().tobytes(), *(other.tobytes() for other in others)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def of_nifti(content):
    """Header and voxels, without the source in the description, the place of the voxels and the extensions."""
    content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    first = int(np.frombuffer(content[108:112], "<f4")[0])
    description = re.sub(rb"(; )?source [A-Za-z0-9_-]{43}", b"", content[148:228]).ljust(80, b"\0")
    return content[:108] + content[112:148] + description + content[228:348] + content[first:]


def of_nrrd(content):
    """Header and unpacked voxels, without the source's line and tags."""
    header, _, data = content.partition(b"\n\n")
    header = re.sub(rb"ProstateSeg\.SourceSHA256:[0-9a-f]{64}\|", b"", header)
    lines = [line for line in header.splitlines() if not line.startswith(b"source_sha256:=")]
    return b"\n".join(lines) + b"\n\n" + zlib.decompress(data, wbits=47)  # of gzip


def of_zip(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = sorted(archive.namelist())
        return "".join(f"{name} {digest(name, archive.read(name))}\n" for name in names).encode()


def of_manifest(content):
    told = json.loads(content)
    return json.dumps({key: told.get(key) for key in FACTS}, sort_keys=True).encode()


MEANING = {".nii": of_nifti, ".nii.gz": of_nifti, ".nrrd": of_nrrd, ".mrb": of_zip, "manifest.json": of_manifest}


def digest(name, content):
    for end, meaning in MEANING.items():
        if name.endswith(end):
            content = meaning(content)
    return hashlib.sha256(content).hexdigest()[:16]


def digests(folder):
    """Of each result of a case, of a folder the digest of its files together."""
    found = {}
    for path in sorted(folder.iterdir()):
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        each = "".join(digest(file.name, file.read_bytes()) for file in files)
        found[path.name] = hashlib.sha256(each.encode()).hexdigest()[:16] if path.is_dir() else each
    return found


def segmented(image, folder, formats, *options):
    """The digests of what the command line writes for one image."""
    from prostate_seg.cli import main

    told = io.StringIO()
    arguments = ["segment", str(image), "-o", str(folder), "--device", "cpu", "--format", formats, *options]
    with redirect_stdout(io.StringIO()), redirect_stderr(told):
        status = main(arguments)
    if status != 0:
        raise SystemExit(f"{image.name}: exit {status}: {told.getvalue()}")
    (case,) = folder.iterdir()
    return digests(case)


def phantoms(kind, seeds):
    """Name and digests of phantoms written as one kind."""
    from prostate_seg.phantom.study import write_phantom

    for seed in seeds:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            if kind == "nifti":
                image, label = write_phantom(folder, seed)
                found = segmented(image, folder / "out", OF_ANY)
            else:
                image, label = write_phantom(folder, seed, image_format="dicom", kind=kind)
                step = ["--frame-spacing", repr(spacing_of(label))] if kind == "series-without-positions" else []
                found = segmented(image, folder / "out", OF_DICOM, *step)
            yield f"{kind} {seed}", {"label": digest(label.name, label.read_bytes())} | found


def spacing_of(label):
    from prostate_seg.reading.masks import read_mask

    return read_mask(label).spacing_mm[2]


def scans(data):
    """Name and digests of the scans of trus27."""
    for image in sorted((Path(data) / "trus27" / "images").glob("*.nii.gz")):
        with tempfile.TemporaryDirectory() as place:
            yield f"trus27 {image.name.split('.')[0]}", segmented(image, Path(place), "nifti,seg-nrrd,nrrd,stl")


def prepare():
    """The version that golden.json was made with, one predictor for all cases, float32, one thread."""
    installed = importlib.metadata.version
    importlib.metadata.version = lambda name: VERSION if name == "prostate-seg" else installed(name)
    from prostate_seg.inference import predictor as bundle

    bundle.load_bundle = functools.cache(bundle.load_bundle)
    torch.autocast = lambda *_, **__: nullcontext()


def compared(expected, found, name):
    """One line for each file of a case that is missing, new or other than expected."""
    for file in sorted({*expected, *found}):
        if expected.get(file) != found.get(file):
            yield f"{name}: {file} is {found.get(file)}, expected {expected.get(file)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="make golden.json anew")
    parser.add_argument("--only", nargs="+", choices=(*KINDS, "trus27"), default=(*KINDS, "trus27"))
    parser.add_argument("--seeds", nargs="+", type=int, default=range(10))
    options = parser.parse_args()
    torch.set_num_threads(1)
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {"cases": {}}
    machine = {
        "canary": canary(),
        "libraries": {name: importlib.metadata.version(name).split("+")[0] for name in LIBRARIES},
    }
    same = machine == {key: golden.get(key) for key in machine}
    if not options.write and not same:
        print(f"cannot be compared: floats or libraries differ here, {machine}")
        return OTHER_HARDWARE
    golden = golden if same else {"cases": {}}
    prepare()
    data = os.environ.get("PROSTATE_SEG_DATA")
    wanted = [phantoms(kind, options.seeds) for kind in options.only if kind != "trus27"]
    if data and "trus27" in options.only:
        wanted.append(scans(data))
    differences, count = [], 0
    for name, found in (case for group in wanted for case in group):
        count += 1
        if options.write:
            golden["cases"][name] = found
            continue
        expected = golden["cases"].get(name, {})
        differences += compared(expected, found, name)
    if options.write:
        lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(files)}" for name, files in golden["cases"].items())
        head = json.dumps(machine, indent=1).removesuffix("\n}")
        GOLDEN.write_text(f'{head},\n "cases": {{\n{lines}\n }}\n}}\n')
    print("\n".join(differences or [f"{count} cases {'written' if options.write else 'are equal'}"]))
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
