"""Typed records of everything that crosses a process: configuration, specs, results, reports, tensors."""
