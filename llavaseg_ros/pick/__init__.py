"""Picks in simulation from a spoken-style command to a lifted thing, counted: our masks beside the simulator's."""
