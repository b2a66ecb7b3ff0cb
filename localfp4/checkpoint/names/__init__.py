"""What people call models, and which repositories they mean; torch-free."""
