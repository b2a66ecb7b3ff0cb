"""Models of real shapes and random weights, so that speed can be measured without a download.

A synthetic checkpoint has the headers of a published one and no files; a reader of its own makes
the values. Everything else, from formats to kernels, is what a real checkpoint goes through.
"""
