"""Tables, pictures and files: how reports are written and read, whatever they are about."""
