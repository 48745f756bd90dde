"""How fast the pipeline is on this machine, against the same models used the plain way."""
