"""Teaching: what a course is made of, from its roster to its released feedback."""
