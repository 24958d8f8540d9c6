"""Parts of the module ProstateSeg that need no Qt: the client of the worker, nodes of the scene, and the logic."""
