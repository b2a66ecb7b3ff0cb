"""``localfp4 quantize``: from a 16-bit model to a 4-bit one, on this computer."""
