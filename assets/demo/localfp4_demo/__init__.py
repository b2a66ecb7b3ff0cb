"""The bundled demo model, kept as package data: an NVFP4 checkpoint."""
