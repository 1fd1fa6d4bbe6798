"""The parity protocol: is it the model, or the tool that read it? Needs no sweep; see docs/parity.md."""
