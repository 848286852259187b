"""Training in several processes: start them, share each step among them, and agree on what a step needs."""
