"""From a labelled image to an episode: dots, crops, copy-paste, earlier masks."""
