"""How this process uses the machine: memory, threads, and a word while something takes long."""
