"""What each exporter's configs say of a checkpoint, so that loaders know it for what it is."""
