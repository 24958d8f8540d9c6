"""A quick start of MONAI in processes that only segment."""

from __future__ import annotations

import pickle
import sys
from importlib import import_module

UNUSED = ("ignite", "matplotlib", "mlflow", "pandas", "tensorboard", "tensorboardX", "torch.utils.tensorboard")


def import_monai() -> None:
    """Import MONAI without the libraries that it loads for training and plots alone.

    ``import monai`` imports each of its modules and each optional library that is installed. To segment, none of
    ``UNUSED`` is needed, and without them the import takes two thirds of the time or less (docs/decisions.md). They
    can be imported afterwards, but MONAI's classes that need them, such as its handlers, stay unusable. So this is
    not for a process that may train later on.
    """
    if "monai" in sys.modules:
        return
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "import" raises ModuleNotFoundError
    try:
        import_module("monai")
    finally:
        for name in hidden:
            del sys.modules[name]


def start_quickly(start: bytes) -> None:
    """Import MONAI quickly, then call a pickled function with its arguments, whose loading imports MONAI."""
    import_monai()
    function, arguments = pickle.loads(start)
    function(*arguments)
