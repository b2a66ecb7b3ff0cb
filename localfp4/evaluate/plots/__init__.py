"""Pictures of evaluations: how divergence is spread, and models beside each other.

Matplotlib is imported when a picture is drawn, never before.
"""
