"""Public data sets in their published layouts, read as commands with masks: `registry.read(name, root, split)`."""
