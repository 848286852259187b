"""Sample an episode from labelled images: dots, crops, copy-paste, earlier masks."""
