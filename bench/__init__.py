"""Benchmarks: each writes ``bench/out/NAME.json`` with metrics and limits."""
