"""Training: from cases to weights.

The package holds datalists, augmentation, parts of the loop that MONAI's bundle runs, ensembles, and the collection
of corrected cases. The names that train.json and evaluate.json may use are attributes of this package
(docs/bundle-vocabulary.md).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
