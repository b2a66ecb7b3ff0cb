"""Model architectures: a ``DecoderSpec`` says what a model is, one ``Decoder`` runs it."""
