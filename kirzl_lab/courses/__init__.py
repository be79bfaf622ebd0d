"""Teaching: course life, rosters, the exchange of assignments and submissions, the gradebook.

Files are nbgrader's, and so is the gradebook; what stands around them is ours.
"""
