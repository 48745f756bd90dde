"""Training of the embedded default and of adapters: scenes, features, and one readable loop a stage."""
