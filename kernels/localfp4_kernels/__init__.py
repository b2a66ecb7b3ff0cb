"""Operators of localfp4: tensors in, tensors out, nothing known of models or requests.

Every operator lives in a file of its own; the functions named ``*_torch`` compute it in plain
torch, on any device.
"""
