"""Teaching: course life, rosters, the exchange of assignments and submissions, the gradebook.

Files are nbgrader's, and so is the gradebook; what stands around them is ours.
"""

import sys

# nbgrader brings in jsonschema, which would build a parser for a grammar that nothing here needs (decision 0403).
sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
