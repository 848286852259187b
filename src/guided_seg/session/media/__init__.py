"""Images and videos of a session, read from disk when needed."""
