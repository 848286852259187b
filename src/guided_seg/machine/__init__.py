"""Memory allocation, thread waiting and spinners of this process."""
