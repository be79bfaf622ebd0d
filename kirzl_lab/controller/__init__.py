"""The controller of a cluster: loops that look at what is and do what is missing. Wiring."""
