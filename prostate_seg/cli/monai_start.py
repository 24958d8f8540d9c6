"""A quick start of MONAI for the verbs that segment."""

from __future__ import annotations

import argparse
import sys

UNUSED = ("ignite", "matplotlib", "mlflow", "pandas", "tensorboard", "tensorboardX", "torch.utils.tensorboard")


def import_monai(options: argparse.Namespace) -> None:
    """Import MONAI without the libraries that it loads for training and plots alone.

    ``import monai`` imports each of its modules and each optional library that is installed. To segment, none of
    ``UNUSED`` is needed, and without them the import takes two thirds of the time or less (docs/decisions.md). They
    can be imported afterwards, but MONAI's classes that need them, such as its handlers, stay unusable. So nothing
    is done if another program called the verb, for it may train later on.
    """
    if "monai" in sys.modules or not options.is_program:
        return
    hidden = [name for name in UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: "import" raises ModuleNotFoundError
    try:
        import monai  # noqa: F401
    finally:
        for name in hidden:
            del sys.modules[name]
