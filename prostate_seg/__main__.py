"""``python -m prostate_seg`` is ``prostate-seg``."""

import sys

from .cli import main

sys.exit(main())
