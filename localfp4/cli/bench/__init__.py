"""``localfp4 bench`` and what it offers by a second word: ``plot``, ``compare``, ``peers``.

Options in, files and tables out; the measuring is in ``localfp4.bench``.
"""
