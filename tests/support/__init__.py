"""Toolkit for the tests that run the real program: images, registries, the engine itself. Standard library only."""
