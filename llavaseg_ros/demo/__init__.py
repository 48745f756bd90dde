"""The demo: a recorded camera bag, its reader, and what plays it."""
