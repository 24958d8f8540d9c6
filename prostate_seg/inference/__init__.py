"""Inference: from a volume to its mask.

The package holds the bundles, the transforms, and the sliding windows with scales and flips. A bundle's JSON refers
to objects by name. These names are attributes of this package, loaded at first use (docs/bundle-vocabulary.md).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
