"""The terminal chat: knows a ``Backend`` and ``localfp4.messages``, never tensors.

Nothing is imported here, so that ``import localfp4_tui`` stays free of Textual.
"""
