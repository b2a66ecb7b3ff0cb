"""Operators of localfp4: tensors in, tensors out, nothing known of models or requests.

Every operator lives in a file of its own, together with its reference in plain torch (``*_torch``).
Nothing is imported here, so that the torch-free modules can be read without torch.
"""
