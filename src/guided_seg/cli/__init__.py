"""What all commands share: help, errors in a sentence, folders of runs."""
