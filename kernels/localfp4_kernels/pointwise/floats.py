"""The types of rows."""

import torch

FLOATS = (torch.bfloat16, torch.float16, torch.float32)
