"""Blends two files of weights of one network: a weighted mean of each number, in half precision.

    python data_prep/blend.py EARLIER.pt LATER.pt --share 0.7 -o model.pt

EARLIER.pt holds the weights before a fine-tuning, LATER.pt the weights after it. Their mean often keeps the gain of
the fine-tuning and the accuracy of the earlier weights on other data (Wortsman et al. 2022, "Robust fine-tuning of
zero-shot models").
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from prostate_seg.errors import ProstateSegError
from prostate_seg.inference.weights import read_state

State = dict[str, torch.Tensor]


def blended(earlier: State, later: State, share: float) -> State:
    """Return (1 - share) times the earlier weights plus share times the later weights.

    Floating-point tensors of the result are float16. Other tensors are those of the later weights.
    """
    shapes = [{name: value.shape for name, value in state.items()} for state in (earlier, later)]
    if shapes[0] != shapes[1]:
        sys.exit("The two files hold weights of different networks; give two of one network.")
    return {
        name: torch.lerp(earlier[name].float(), value.float(), share).half() if value.is_floating_point() else value
        for name, value in later.items()
    }


def main() -> None:
    """Blend the two files and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("earlier", type=Path)
    parser.add_argument("later", type=Path)
    parser.add_argument("--share", type=float, default=0.5, help="of the later weights, 0 to 1")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    if not 0 <= options.share <= 1:
        parser.error(f"--share is a number from 0 to 1, got {options.share}")
    try:
        states = [read_state(path) for path in (options.earlier, options.later)]
    except ProstateSegError as error:
        sys.exit(str(error))
    torch.save(blended(states[0], states[1], options.share), options.output)


if __name__ == "__main__":
    main()
