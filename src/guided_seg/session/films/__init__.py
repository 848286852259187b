"""The videos of a session: files, folders of frames and streams."""
