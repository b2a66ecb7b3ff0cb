"""How fast engines are: what is run, who runs it, what is written down, and what is made of that.

A :class:`~localfp4.bench.records.Run` is in the middle: ``planning`` decides what it will be,
``running`` goes through it with the ``engines``, and ``report``, ``plots``, ``comparing`` and
``sharing`` read it.
"""
