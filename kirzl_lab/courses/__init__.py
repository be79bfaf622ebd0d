"""Teaching: the life of courses, their rosters, assignments and what is handed in.

Guarantees: a course belongs to the people on its roster and to nobody else; what somebody handed in stays when they
leave; nothing is ever half-applied.
"""
