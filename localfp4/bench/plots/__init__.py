"""Pictures of what was measured: panels are worked out here, and drawn by whoever can.

Matplotlib is imported when a picture is drawn, never before; the terminal needs no library.
"""
