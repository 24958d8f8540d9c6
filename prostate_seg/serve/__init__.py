"""Local page: see a case, correct it by mouse.

The page is served to this computer alone (:mod:`.door`). Hints are kept in files as soon as they are given
(:mod:`.desk`), and answered by a session of :mod:`prostate_seg.cases.session`.
"""
