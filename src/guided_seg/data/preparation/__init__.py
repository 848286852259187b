"""Prepare data: download and unpack archives, check every file, and report."""
