"""What can be wrong with a computer that should run models, and what mends it; torch-free.

``facts`` is what was found out, ``gather`` finds it out without ever failing, ``checks`` are pure
functions from facts to findings, and ``remedies`` are the commands for this system and installer.
torch and Triton are asked in processes of their own, since broken ones cannot be imported.
"""
