"""Shared code of all commands: help, error messages, run folders."""
