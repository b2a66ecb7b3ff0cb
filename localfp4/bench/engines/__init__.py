"""What can be measured: this engine, other libraries, and servers, all behind one protocol."""
