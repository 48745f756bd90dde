"""Measuring the method: data sets, a runner, metrics and one page with figures and pictures."""
