"""What a quantisation takes and gives, before any weight is read; torch-free."""
