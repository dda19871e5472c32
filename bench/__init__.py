"""Benchmarks: each starts what it measures, runs its candidates interleaved, and writes one file of results."""
