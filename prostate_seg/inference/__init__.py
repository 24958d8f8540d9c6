"""Volume to mask.

Bundles, transforms, sliding windows with scales and flips. The names that a bundle's JSON may use are attributes of
this package, loaded when first used (docs/bundle-vocabulary.md).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
