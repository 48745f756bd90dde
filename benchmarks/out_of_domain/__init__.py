"""Evaluation sets from outside the domain of training; see bench_out_of_domain.py."""
