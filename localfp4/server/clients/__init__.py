"""Ready configuration for programs that people talk to models with; stdlib only."""
