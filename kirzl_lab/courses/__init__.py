"""Teaching: rosters, the exchange of assignments, and the gradebook."""
