"""The parity protocol: is it the model, or the tool that read it? What a study consists of, and what its numbers say."""
